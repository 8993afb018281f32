"""What `benchmarks/recommendation.py` found when it was last run."""

from typing import Any, Final

BENCHMARK: Final[dict[str, Any]] = {
    "date": "2026-11-25",
    "kendall_tau": {"median": 0.77, "least": 0.7},
}
