"""Optimizers that torch lacks, one per file: mathematics, no vocabulary.

Each is a ``torch.optim.Optimizer``. What it remembers of a parameter is tensors and
plain numbers, so that a checkpoint holds it without a pickle, and no step waits for
the device. Their fields, defaults and sources are in ``trainer/spec``.
"""
