"""What is suggested to people who come with the words of other libraries."""

from collections.abc import Mapping
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from tests.trainer.spec_samples import job
from trainer.spec.activations import Activation
from trainer.spec.augmentation import Augmentation
from trainer.spec.averaging import Averaging
from trainer.spec.base import variants
from trainer.spec.clipping import GradientClipping
from trainer.spec.errors import Problem, nearest, problems_of
from trainer.spec.initializers import Initializer
from trainer.spec.job import JobSpec
from trainer.spec.layers import Layer
from trainer.spec.losses import Loss
from trainer.spec.normalizations import Normalization
from trainer.spec.optimizers import Optimizer
from trainer.spec.schedules import Schedule
from trainer.spec.serving import Serving
from trainer.spec.synonyms import OURS
from trainer.spec.weighting import ClassWeights, Sampling

FAMILIES = (
    Activation,
    Augmentation,
    Averaging,
    ClassWeights,
    GradientClipping,
    Initializer,
    Layer,
    Loss,
    Normalization,
    Optimizer,
    Sampling,
    Schedule,
    Serving,
)
CLASSES = [member for family in FAMILIES for member in variants(family)]
KINDS = {m.model_fields["kind"].default for m in CLASSES if "kind" in m.model_fields}
FIELDS = {name for member in CLASSES for name in member.model_fields}
WORDS = {"minimum_change", *get_args(Serving.model_fields["precision"].annotation)}


def refused(**changes: Any) -> Problem:
    raw = job(**changes)
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(raw)
    return problems_of(caught.value, raw, JobSpec)[0]


@pytest.mark.parametrize("word", OURS)
def test_every_word_of_others_stands_for_one_that_exists(word: str) -> None:
    assert set(OURS[word]) <= KINDS | FIELDS | WORDS


@pytest.mark.parametrize(
    ("family", "word", "ours"),
    [
        (Activation, "swish", "silu"),
        (Activation, "LeakyReLU", "leaky_relu"),
        (Initializer, "kaiming_normal", "he_normal"),
        (Initializer, "random_normal", "normal"),
        (Layer, "Conv2DTranspose", "transposed_conv2d"),
        (Layer, "BatchNormalization", "batch_normalization"),
        (Normalization, "batch_normalization", "batch"),
        (Optimizer, "nag", "nesterov"),
        (Schedule, "ReduceLROnPlateau", "performance"),
        (Loss, "binary_crossentropy", "sigmoid_cross_entropy"),
        (Loss, "categorical_crossentropy", "softmax_cross_entropy"),
        (Averaging, "ema", "exponential_moving_average"),
    ],
)
def test_a_word_of_keras_or_torch_gets_our_word_for_the_same(
    family: object, word: str, ours: str
) -> None:
    kinds = [member.model_fields["kind"].default for member in variants(family)]

    assert nearest(word, kinds) == ours


@pytest.mark.parametrize(
    ("training", "place", "said"),
    [
        (
            {"early_stopping": {"min_delta": 1}},
            "/training/early_stopping/min_delta",
            "did you mean 'minimum_change'?",
        ),
        (
            {"early_stopping": False},
            "/training/early_stopping",
            "did you mean 'none'?",
        ),
        ({"learning_rate": 0.1}, "/training/learning_rate", "training.optimizer"),
        (
            {"optimizer": {"kind": "sgd", "momentum": 0.9}},
            "/training/optimizer/momentum",
            "optimizers of their own",
        ),
        ({"augmentation": "flip"}, "/training/augmentation", "write a list"),
        (
            {"gradient_clipping": 1.0},
            "/training/gradient_clipping",
            "write a name, or an object",
        ),
    ],
)
def test_a_habit_of_other_libraries_is_told_what_to_write(
    training: Mapping[str, Any], place: str, said: str
) -> None:
    problem = refused(training=training)

    assert problem.pointer == place
    assert said in problem.detail
