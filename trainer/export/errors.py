"""Why a model cannot be written in a form that was asked for."""

from __future__ import annotations

from trainer.errors import TrainerError


class CannotExport(TrainerError):
    """A form has no words for something in the model."""

    reason = "invalid_spec"

    def __init__(self, form: str, what: str, why: str) -> None:
        super().__init__(f"{form} cannot hold {what}: {why}")
        self.form, self.what, self.why = form, what, why
