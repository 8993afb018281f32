"""Print how fast the trainer is beside scikit-learn's MLPClassifier and skorch.

The same network, rows and epochs on one thread, by the processor's clock:

    OMP_NUM_THREADS=1 python -m benchmarks.peers
"""

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier

from benchmarks.train_loop import LEARNING_RATE, MOMENTUM, compare, digits, mlp, ours
from trainer.data.dataset import Dataset

ROWS, BATCH, ROUNDS = 15_000, 50, 5


def sklearn(data: Dataset, batch: int) -> Iterator[float]:
    """Train scikit-learn's network, by its default Nesterov; yield after each epoch."""
    x = data.columns["image"].reshape(ROWS, -1).astype(np.float32) / 255
    network = MLPClassifier(
        (300, 100), solver="sgd", batch_size=batch, learning_rate_init=LEARNING_RATE
    )
    while True:
        network.partial_fit(x, data.columns["label"], classes=range(10))
        yield 0.0


def skorch(data: Dataset, batch: int) -> Iterator[float]:
    """Train through skorch, its printing and its split switched off; yield likewise."""
    x = data.columns["image"].reshape(ROWS, -1).astype(np.float32) / 255
    options = {"optimizer__momentum": MOMENTUM, "optimizer__nesterov": True}
    options |= {
        "batch_size": batch,
        "lr": LEARNING_RATE,
        "iterator_train__shuffle": True,
    }
    network = NeuralNetClassifier(
        mlp(),
        criterion=torch.nn.CrossEntropyLoss,
        train_split=None,
        max_epochs=1,
        verbose=0,
        **options,
    ).initialize()
    while True:
        network.partial_fit(x, data.columns["label"])
        yield 0.0


torch.set_num_threads(1)
rounds = np.array(compare((sklearn, skorch, ours), digits(ROWS), BATCH, ROUNDS))
for name, times in zip(("scikit-learn", "skorch"), rounds.T[:2], strict=True):
    print(f"{np.median(times / rounds.T[2]):.2f} times as fast as {name}")
