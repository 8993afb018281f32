"""From columns to what a network takes, fitted once and kept inside the model.

Imported by the trainer and by the API's predictions: numpy only, never torch.
"""

from trainer.preprocessing.fitted import Preprocessing

__all__ = ["Preprocessing"]
