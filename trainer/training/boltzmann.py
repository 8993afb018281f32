"""Steps of a restricted Boltzmann machine: contrastive divergence, in place of a loss.

The machine is the network's output layer and the one whose weights that uses. With W
(hidden, visible), c the hidden units' biases and b the visible ones', the free energy
of a row is

    F(v) = -b·v - Σ_j log(1 + exp(c_j + W_j·v))      visible units of 0 and 1
    F(v) = |v - b|² / 2 - Σ_j log(1 + exp(c_j + W_j·v))      Gaussian ones

and a step follows the gradient of the mean of F(v_0) less the mean of F(v_k), whose
part by W is <h v>_k - <h v>_0. Sources: Hinton (2002), Neural Computation 14; Tieleman
(2008), ICML, for chains that go on; Hinton (2012), A practical guide to training
restricted Boltzmann machines, section 13.2 for Gaussian units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import linear, logsigmoid, softplus

from trainer.errors import OutsideRange
from trainer.spec.losses import ContrastiveDivergence
from trainer.training.activity import means_of, undone
from trainer.training.batches import rows_at_once
from trainer.training.descent import Descent, divided
from trainer.training.weighting import training_loss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from trainer.data.examples import Examples
    from trainer.network import Network
    from trainer.training import Material, Memory
    from trainer.training.activity import Seen
    from trainer.training.mixing import Mixed

CHAINS = "chains"
MEASURED = 4096
"""Rows whose free energy and pseudo-likelihood are measured."""
AT_ONCE = 1024
"""Rows of them at a time."""


class Machine:
    """The two layers of a network that are a restricted Boltzmann machine."""

    def __init__(self, network: Network) -> None:
        name = network.output
        self.hidden: Any = network.layers[network.lenders[name]]
        self.visible: Any = network.layers[name]
        self.gaussian = isinstance(self.visible.activation, nn.Identity)

    def sums(self, v: Tensor) -> Tensor:
        """Return what the hidden units sum up, (rows, hidden)."""
        return linear(v, self.hidden.weight, self.hidden.bias)

    def free_energy(self, v: Tensor, sums: Tensor | None = None) -> Tensor:
        """Return the free energy of each of the rows (rows, visible)."""
        hidden = softplus(self.sums(v) if sums is None else sums).sum(1)
        bias = self.visible.bias
        if self.gaussian:
            apart = v if bias is None else v - bias
            return 0.5 * apart.square().sum(1) - hidden
        return -hidden if bias is None else -hidden - v @ bias

    def means(self, h: Tensor) -> Tensor:
        """Return the visible units' means given the hidden units, (rows, visible)."""
        means: Tensor = self.visible(h, lender=self.hidden)
        return means

    @torch.no_grad()
    def sampled(self, sums: Tensor, steps: int) -> Tensor:
        """Return visible units after some rounds of sampling from hidden sums."""
        v = self._visible(sums)
        for _ in range(steps - 1):
            v = self._visible(self.sums(v))
        return v

    def pseudo_likelihood(self, v: Tensor, flipped: Tensor) -> Tensor:
        """Return log P of one number of each row given the others, times their count.

        That is, n log σ(F(v with number i turned) - F(v)): an estimate of the sum over
        all n of them, after Besag (1975), The Statistician 24.

        Shapes:
            v (rows, visible); flipped (rows,), which number of each row.
        """
        other, row = v.clone(), torch.arange(len(v), device=v.device)
        other[row, flipped] = 1 - other[row, flipped]
        return v.shape[1] * logsigmoid(self.free_energy(other) - self.free_energy(v))

    def _visible(self, sums: Tensor) -> Tensor:
        """Return visible units that are drawn given hidden ones that are drawn."""
        means = self.means(torch.bernoulli(sums.sigmoid()))
        if self.gaussian:
            return means + torch.randn_like(means)
        return torch.bernoulli(means)


class Chains:
    """Visible units that go on being sampled from step to step."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.count, self.device = count, device
        self.v: Tensor | None = None

    def begun(self, rows: Tensor) -> Tensor:
        """Return where the chains stand; they begin at these rows."""
        if self.v is None:
            chosen = torch.arange(self.count, device=rows.device) % len(rows)
            self.v = rows[chosen].clone()
        return self.v

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a checkpoint needs for the chains to go on."""
        return ({} if self.v is None else {CHAINS: self.v}), {}

    def restore(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Go on from what `state` returned."""
        found = tensors.get(CHAINS)
        self.v = None if found is None else found.to(self.device, copy=True)


class BoltzmannDescent(Descent):
    """Steps by contrastive divergence; the targets are the visible rows.

    What it tells as the loss and the outputs of a step are the mean-field
    reconstructions of the rows and their squared error, by the weights before it.
    """

    def __init__(self, material: Material, wish: ContrastiveDivergence) -> None:
        super().__init__(*_arguments(material), multipliers=material.multipliers)
        self.wish = wish
        self.machine = Machine(self.network)
        self.seed = material.recipe.seed
        targets = material.train.targets
        if not self.machine.gaussian:
            _check(targets)
        self.chains: Chains | None = None
        if wish.persistent:
            whole = self.recipe.batch_size if wish.chains == "batch" else wish.chains
            self.chains = Chains(whole, targets.device)

    def _gradients(
        self, values: Mapping[str, Tensor], targets: Tensor | Mixed
    ) -> tuple[Tensor, Tensor]:
        """Add up the gradients of the mean of F(v_0) - F(v_k)."""
        assert isinstance(targets, torch.Tensor)
        rows, size = len(targets), self.micro_batch or len(targets)
        total, outputs = targets.new_zeros(()), []
        parts = list(divided(rows, size))
        means: Mapping[str, Sequence[Tensor]] = {}
        if len(parts) > 1 and self.activity.of_means:
            means = self._unit_means(targets, parts)
        for part in parts:
            v, share = targets[part], (part.stop - part.start) / rows
            sums, hidden, seen = self._hidden(v)
            energy = self.machine.free_energy(v, sums).mean()
            if self.chains is None:
                sampled = self.machine.sampled(sums.detach(), self.wish.steps)
                energy = energy - self.machine.free_energy(sampled).mean()
            self._backward(energy * share, seen, len(v), share, means)
            with torch.no_grad():
                given = self.machine.means(hidden.detach())
                total += share * self.loss(given, v)
            outputs.append(given)
        if self.chains is not None:
            self._persist(self.chains, targets, size)
        return total, torch.cat(outputs)

    def _persist(self, chains: Chains, rows: Tensor, size: int) -> None:
        """Let the chains go on, and add the gradient of the mean of their -F(v)."""
        v = chains.begun(rows)
        for part in divided(len(v), size):
            with torch.no_grad():
                sums = self.machine.sums(v[part])
                v[part] = self.machine.sampled(sums, self.wish.steps)
            share = (part.stop - part.start) / len(v)
            energy = self.machine.free_energy(v[part]).mean()
            (-share * energy).backward()

    def _hidden(self, v: Tensor) -> tuple[Tensor, Tensor, Seen]:
        """Return the hidden units' sums and means, and what has a penalty."""
        with self.activity.watched() as seen:
            sums = self.machine.sums(v)
            return sums, self.machine.hidden.follow(sums), seen

    def _unit_means(
        self, targets: Tensor, parts: Sequence[slice]
    ) -> Mapping[str, Sequence[Tensor]]:
        given = []
        with undone(self.network):
            for part in parts:
                share = (part.stop - part.start) / len(targets)
                given.append((share, self._hidden(targets[part])[2]))
        return means_of(given)

    def memories(self) -> dict[str, Memory]:
        """Return what must be found again after a restart, by name."""
        found = super().memories()
        return found if self.chains is None else {**found, CHAINS: self.chains}

    @torch.no_grad()
    def measured(self, examples: Examples) -> dict[str, float]:
        """Return the mean free energy of some rows, and their pseudo-likelihood.

        Of each row one number is turned, the same in every evaluation.
        """
        v = examples.targets[:MEASURED]
        generator = torch.Generator().manual_seed(self.seed)
        turned = torch.randint(v.shape[1], (len(v),), generator=generator).to(v.device)
        energy, likelihood = v.new_zeros((), dtype=torch.float64), 0.0
        for part in divided(len(v), AT_ONCE):
            energy += self.machine.free_energy(v[part]).double().sum()
            if not self.machine.gaussian:
                found = self.machine.pseudo_likelihood(v[part], turned[part])
                likelihood += float(found.double().sum())
        told = {"free_energy": float(energy) / len(v)}
        if not self.machine.gaussian:
            told["pseudo_likelihood"] = likelihood / len(v)
        return told


def descent_of(material: Material) -> Descent:
    """Return what takes the steps of a training, by its loss."""
    loss = material.recipe.loss
    if isinstance(loss, ContrastiveDivergence):
        return BoltzmannDescent(material, loss)
    return Descent(*_arguments(material), multipliers=material.multipliers)


def _arguments(material: Material) -> tuple[Any, ...]:
    recipe = material.recipe
    assert recipe.loss is not None
    return (
        material.frozen.network,
        material.cut,
        recipe,
        training_loss(recipe.loss, material.class_weights),
        rows_at_once(recipe, material.micro_batch),
    )


def _check(rows: Tensor) -> None:
    """Refuse rows that no probabilities are.

    Raises: OutsideRange.
    """
    low, high = float(rows.min()), float(rows.max())
    if not (low >= 0 and high <= 1):
        raise OutsideRange(low, high)
