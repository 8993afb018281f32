"""Fill in the optimizer and the schedule of a recipe, and see that they make sense."""

from collections.abc import Sequence

from trainer.spec.errors import Problem, nearest, pointer
from trainer.spec.network import NetworkSpec
from trainer.spec.regularization import EarlyStopping
from trainer.spec.schedules.curve import Schedulable
from trainer.spec.schedules.lengths import Epochs
from trainer.spec.schedules.measured import Performance, RangeTest
from trainer.spec.training import Training


def resolved_pace(
    training: Training, network: NetworkSpec, metrics: Sequence[str]
) -> tuple[Training, list[Problem], list[str]]:
    """Return the recipe with its optimizer and its schedule filled in.

    `metrics` are those that will be measured.
    """
    hidden = len(network.layers) > 1
    training = training.model_copy(
        update={
            "optimizer": training.optimizer.filled(hidden=hidden),
            "schedule": training.schedule.filled(training.epochs),
        }
    )
    training, problems, warnings = _monitored(training, metrics)
    warnings += _length_warnings(training) + _test_warnings(training)
    return training, problems, warnings


def _monitored(
    training: Training, metrics: Sequence[str]
) -> tuple[Training, list[Problem], list[str]]:
    """Make sure that the metric of a performance schedule is measured."""
    schedule = training.schedule
    if not isinstance(schedule, Performance):
        return training, [], []
    if schedule.monitor not in metrics:
        if "monitor" in schedule.model_fields_set:
            problem = Problem(
                pointer("training", "schedule", "monitor"),
                "unknown_metric",
                f"{schedule.monitor!r} is not measured; there are {', '.join(metrics)}",
                nearest(schedule.monitor, metrics),
            )
            return training, [problem], []
        schedule = schedule.model_copy(update={"monitor": "train_loss"})
        training = training.model_copy(update={"schedule": schedule})
        told = "no rows are held back for validation: the schedule watches train_loss"
        return training, [], [told]
    stopping = training.early_stopping
    if (
        isinstance(stopping, EarlyStopping)
        and stopping.monitor == schedule.monitor
        and stopping.patience <= schedule.patience
    ):
        told = (
            f"early stopping waits for {stopping.patience} evaluations and the "
            f"schedule for {schedule.patience}: the rate will never be reduced"
        )
        return training, [], [told]
    return training, [], []


def _length_warnings(training: Training) -> list[str]:
    schedule = training.schedule
    if not isinstance(schedule, Schedulable):
        return []
    warmup = schedule.warmup
    if not isinstance(warmup, Epochs) or warmup.epochs < training.epochs:
        return []
    told = (
        f"the warm-up of {warmup.epochs:g} epochs is as long as the training: its full "
        "learning rate is never reached"
    )
    return [told]


def _test_warnings(training: Training) -> list[str]:
    if not isinstance(training.schedule, RangeTest):
        return []
    told = (
        "a range test trains nothing: it ends with a learning rate to use and gives "
        "the network back as it was"
    )
    return [told]
