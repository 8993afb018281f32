"""What `benchmarks/recommendation.py` found when it was last run."""

from typing import Any, Final

BENCHMARK: Final[dict[str, Any]] = {
    "date": "2026-11-25",
    "command": "python benchmarks/recommendation.py",
    "what": "24 sources, unrelated ones among them, ranked by `probe` for 5 targets; "
    "then the jobs of the answers were trained from 3 seeds",
    "sources": 24,
    "kendall_tau": {
        "median": 0.82,
        "least": 0.73,
        "targets": {
            "MNIST, 30 of each digit": 0.94,
            "MNIST 5 to 9, 20 of each": 0.85,
            "digits, 15 of each": 0.73,
            "photographs, which": 0.80,
            "MNIST, which way up": 0.82,
        },
    },
    "kendall_tau_between_seeds": {
        "median": 0.88,
        "least": 0.70,
        "meaning": "how far two trainings of the same jobs agree with each other",
    },
}
