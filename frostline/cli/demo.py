"""``frostline demo``: the story of the frost line, told by real jobs."""


def demo() -> None:
    """Train, reuse the hidden layers frozen, compare; on a stack of its own."""
    raise NotImplementedError
