"""Talk to a Frostline server, from Python and from the command line."""

from frostline.answers import Dataset, Event, Job, Model, Page, Progress
from frostline.client import Client
from frostline.errors import FrostlineError

__all__ = [
    "Client",
    "Dataset",
    "Event",
    "FrostlineError",
    "Job",
    "Model",
    "Page",
    "Progress",
]
