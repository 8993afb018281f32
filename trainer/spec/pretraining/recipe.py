"""How a stage of pretraining is trained, and on which rows."""

from typing import Annotated

from pydantic import Field

from trainer.spec.auxiliary import AuxiliaryTask, NoAuxiliaryTask
from trainer.spec.base import Count, Nullable, Off, Rate, Spec
from trainer.spec.data import Condition, DatasetRef, PerClass, Split
from trainer.spec.losses import Loss, Task
from trainer.spec.mixing import NoMixing
from trainer.spec.optimizers import Optimizer
from trainer.spec.pruning import NoPruning
from trainer.spec.regularization import EarlyStopping, Regularization
from trainer.spec.schedules import Schedule
from trainer.spec.training import Training
from trainer.spec.weighting import NoClassWeights, Shuffled


class StageTraining(Spec):
    """The recipe of the stages; what is absent is as in the job's ``training``.

    Its loss, class weights, sampling, mixing, augmentation and pruning are for what the
    job learns and do not hold in the stages; early stopping watches the loss.
    """

    optimizer: Optimizer | None = None
    """Rule that turns gradients into steps."""
    learning_rate: Rate | None = None
    """Learning rate in place of the optimizer's own."""
    schedule: Schedule | None = None
    """How the learning rate changes with the steps."""
    regularization: Regularization | None = None
    """Penalties and limits on weights."""
    early_stopping: Annotated[EarlyStopping | Off | None, Nullable] = None
    """When a stage ends before its last epoch."""
    loss: Loss | None = None
    """What is made small; absent: it follows from the task of the stage."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Largest number of passes over the training rows in each stage."""
    batch_size: Count | None = None
    """Examples per optimizer step."""

    def over(self, training: Training) -> Training:
        """Return the recipe of a stage: the job's, with what is said here."""
        found = training.model_copy(
            update={
                "loss": self.loss,
                "class_weights": NoClassWeights(),
                "sampling": Shuffled(),
                "mixing": NoMixing(),
                "augmentation": (),
                "pruning": NoPruning(),
            }
        )
        if isinstance(found.early_stopping, EarlyStopping):
            watched = {"monitor": "validation_loss"}
            stopping = found.early_stopping.model_copy(update=watched)
            found = found.model_copy(update={"early_stopping": stopping})
        said = {
            name: value
            for name, value in self
            if value is not None and name != "learning_rate"
        }
        found = found.model_copy(update=said)
        if self.learning_rate is None:
            return found
        rate = {"learning_rate": self.learning_rate}
        optimizer = found.optimizer.model_copy(update=rate)
        return found.model_copy(update={"optimizer": optimizer})


class StageRows(Spec):
    """The rows that layers are pretrained on; absent: all rows of the job's data set.

    The job's ``where`` and ``examples_per_class`` do not hold here, and rows without a
    target are used as well.
    """

    id: str | None = Field(default=None, min_length=1, max_length=200)
    """Another data set with the same feature columns; absent: the job's."""
    where: dict[str, Condition] = Field(default_factory=dict, max_length=1000)
    """Rows are used only where every named column satisfies its condition."""
    split: Split | None = None
    """How rows are held back; absent: as the job does."""

    def over(self, job: DatasetRef, features: tuple[str, ...]) -> DatasetRef:
        """Return the data set of a stage that gives its input back."""
        return job.model_copy(
            update={
                "id": self.id or job.id,
                "target": None,
                "task": "reconstruction",
                "features": features,
                "where": self.where,
                "examples_per_class": None,
                "split": (self.split or job.split).model_copy(
                    update={"stratify": None}
                ),
            }
        )


class OtherTask(StageRows):
    """What is learned first in place of the job's target, and of which rows."""

    target: str | tuple[str, ...] | None = None
    """Another column to predict; absent: the job's, which a task made of the rows needs
    at most to tell what is the same."""
    task: Task | None = None
    """What kind of learning it is; absent: it follows from the target's kind."""
    examples_per_class: PerClass | None = None
    """A few examples of each class only."""
    auxiliary_task: AuxiliaryTask = NoAuxiliaryTask()
    """A task that is made of the rows: turned images, same or different pairs."""

    def over(self, job: DatasetRef, features: tuple[str, ...]) -> DatasetRef:
        """Return the data set of the stage."""
        own = job.target if self.id in {None, job.id} else None
        return job.model_copy(
            update={
                "id": self.id or job.id,
                "target": own if self.target is None else self.target,
                "task": self.task,
                "features": features,
                "where": self.where,
                "examples_per_class": self.examples_per_class,
                "split": self.split or job.split,
                "auxiliary_task": self.auxiliary_task,
            }
        )
