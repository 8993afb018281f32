"""What may be asked of a running trainer, set from outside, seen after every step."""

from threading import Event


class Commands:
    """Requests that wait to be seen: stop, write a checkpoint."""

    def __init__(self) -> None:
        self.stop = Event()
        """Write a checkpoint and end."""
        self.checkpoint = Event()
        """Write a checkpoint and go on."""

    def waiting(self) -> bool:
        """Return whether anything is asked for."""
        return self.stop.is_set() or self.checkpoint.is_set()
