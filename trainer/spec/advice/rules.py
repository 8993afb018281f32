"""All rules, in the order in which they speak. Add one: write it, name it in ``RULES``.

A rule is a function from a case to what it would have at which place of the spec, and
why; its source is named once, at its top. The last word about a place holds: the
practical guide's defaults first, then what the data say, then what was wished for,
then what settles wishes that contradict each other. ``networks`` speaks before all.
"""

from trainer.spec.advice.descent import (
    choose_batches,
    clip_gradients,
    descend,
    descend_by_token,
    fix_the_draws,
    keep_the_rate,
    lower_the_rate,
    raise_the_rate,
    stop_early,
)
from trainer.spec.advice.draft import Rule
from trainer.spec.advice.layerwise import (
    activate,
    activate_fast,
    bound_norms,
    do_without_normalization,
    drop_units,
    fold_normalization,
    initialize_for_rectifiers,
    normalize,
)
from trainer.spec.advice.networks import (
    images_are_convolved,
    sequences_are_walked,
    tables_are_dense,
    texts_are_embedded,
)
from trainer.spec.advice.restraint import (
    bear_outliers,
    doubt_smallness,
    draw_weights_to_zero,
    hold_more_back,
    make_more_rows,
    shrink_weights,
    weigh_classes,
    zero_small_weights,
)

NETWORKS: tuple[Rule, ...] = (
    images_are_convolved,
    texts_are_embedded,
    sequences_are_walked,
    tables_are_dense,
)
"""One of these chooses the layers."""

RULES: tuple[Rule, ...] = (
    initialize_for_rectifiers,
    activate,
    activate_fast,
    normalize,
    do_without_normalization,
    fold_normalization,
    bound_norms,
    drop_units,
    descend,
    descend_by_token,
    keep_the_rate,
    lower_the_rate,
    raise_the_rate,
    clip_gradients,
    choose_batches,
    stop_early,
    fix_the_draws,
    hold_more_back,
    make_more_rows,
    doubt_smallness,
    weigh_classes,
    shrink_weights,
    draw_weights_to_zero,
    zero_small_weights,
    bear_outliers,
)
"""These choose the rest, knowing the layers."""
