"""Why a model is not compared.

NotComparable    with a word for programs and a sentence for people
"""


class NotComparable(Exception):
    """A model that is left out of a comparison, and why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail
