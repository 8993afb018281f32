"""Names of tasks and queues, for whoever needs them without Celery."""

from typing import Final

LOOK: Final = "look"
EXPORT: Final = "export"
"""The task, and its queue, that every worker reads."""
LOOK_QUEUES: Final = {"cpu": "look.cpu", "cuda": "look.cuda"}
"""One queue per kind of device: workers of other kinds never see each other's hints."""
