"""Networks that compare two examples, for tests of what is learned from pairs."""

from __future__ import annotations

from typing import Any

BRANCHES: list[dict[str, Any]] = [
    {"kind": "select", "name": "left", "index": 0, "inputs": ["input"]},
    {"kind": "dense", "name": "hidden1", "units": 7},
    {"kind": "dense", "name": "hidden2", "units": 5, "dropout": 0.3},
    {"kind": "select", "name": "right", "index": 1, "inputs": ["input"]},
    {"kind": "shared", "name": "again1", "of": "hidden1"},
    {"kind": "shared", "name": "again2", "of": "hidden2"},
]
BOTH = {"inputs": ["hidden2", "again2"]}
SIAMESE = [
    *BRANCHES,
    {"kind": "absolute_difference", "name": "apart", **BOTH},
    {"kind": "dense", "name": "top", "units": 4},
]
METRIC = [*BRANCHES, {"kind": "euclidean_distance", "name": "apart", **BOTH}]
BY_LABEL = {"auxiliary_task": {"kind": "same_or_different"}}
BY_EXAMPLE = {"auxiliary_task": {"kind": "same_or_different", "same": "example"}}
TURNED = {"auxiliary_task": "rotation"}
PLAIN = {"normalization": "none", "dropout": 0.0}
