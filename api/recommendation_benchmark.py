"""What `benchmarks/recommendation.py` found when it was last run."""

from typing import Any, Final

BENCHMARK: Final[dict[str, Any]] = {}
