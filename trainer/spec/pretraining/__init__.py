"""Pretraining: stages before a job that give its layers values, each a job of its own.

A member says its stages by `drafts`; `trainer.spec.pretraining.chain` makes jobs of
them. To add one: write its class, and name it in the union below.
"""

from typing import Annotated

from pydantic import BeforeValidator, Field

from trainer.spec.base import Named
from trainer.spec.pretraining.auxiliary import Auxiliary
from trainer.spec.pretraining.greedy import DeepBeliefNetwork, StackedAutoencoders

Pretraining = Annotated[
    StackedAutoencoders | DeepBeliefNetwork | Auxiliary,
    Field(discriminator="kind"),
    Named,
]
"""What is trained before the job, so that its layers do not begin at random."""


def _listed(value: object) -> object:
    if value is None or value == "none":
        return ()
    return (value,) if isinstance(value, str | dict) else value


Pretrainings = Annotated[
    tuple[Pretraining, ...], Field(max_length=10), BeforeValidator(_listed)
]
"""One entry or several in a row; each goes on from what those before have made."""
