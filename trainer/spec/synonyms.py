"""Words by which Keras, torch, Ludwig and papers know what a spec has another word for.

They are only suggested when such a word is refused: a spec has one name for one thing.
"""

from collections.abc import Sequence

OURS: dict[str, tuple[str, ...]] = {
    # layers
    "attention": ("multi_head_attention",),
    "avgpool1d": ("average_pool1d",),
    "avgpool2d": ("average_pool2d",),
    "conv1dtranspose": ("transposed_conv1d",),
    "conv2dtranspose": ("transposed_conv2d",),
    "convtranspose1d": ("transposed_conv1d",),
    "convtranspose2d": ("transposed_conv2d",),
    "deconv2d": ("transposed_conv2d",),
    "fc": ("dense",),
    "fullyconnected": ("dense",),
    "linear": ("dense",),
    "rnn": ("simple_rnn",),
    # activations
    "hardsilu": ("hard_swish",),
    "identity": ("linear",),
    "logistic": ("sigmoid",),
    "swish": ("silu",),
    # initialisers
    "kaimingnormal": ("he_normal",),
    "kaiminguniform": ("he_uniform",),
    "randomnormal": ("normal",),
    "randomuniform": ("uniform",),
    "xavier": ("glorot_uniform",),
    "xaviernormal": ("glorot_normal",),
    "xavieruniform": ("glorot_uniform",),
    # normalisations; a name that is a layer too comes after the field's own word
    "batchnorm": ("batch", "batch_normalization"),
    "batchnormalization": ("batch", "batch_normalization"),
    "groupnorm": ("group", "group_normalization"),
    "groupnormalization": ("group", "group_normalization"),
    "instancenorm": ("instance", "instance_normalization"),
    "instancenormalization": ("instance", "instance_normalization"),
    "layernorm": ("layer", "layer_normalization"),
    "layernormalization": ("layer", "layer_normalization"),
    "rmsnorm": ("rms", "rms_normalization"),
    "rmsnormalization": ("rms", "rms_normalization"),
    # optimizers, schedules, clipping
    "batchgradientdescent": ("gradient_descent",),
    "ftrlproximal": ("ftrl",),
    "gd": ("gradient_descent",),
    "nag": ("nesterov",),
    "cosineannealing": ("cosine",),
    "cosineannealingwarmrestarts": ("cosine_restarts",),
    "cosinedecay": ("cosine",),
    "cosinedecayrestarts": ("cosine_restarts",),
    "exponentialdecay": ("exponential",),
    "inversetimedecay": ("inverse_time",),
    "lrfinder": ("range_test",),
    "multistep": ("piecewise_constant",),
    "plateau": ("performance",),
    "polynomialdecay": ("polynomial",),
    "reducelronplateau": ("performance",),
    "reduceonplateau": ("performance",),
    "sgdr": ("cosine_restarts",),
    "step": ("piecewise_constant",),
    "agc": ("adaptive",),
    "clipbynorm": ("norm",),
    "clipbyvalue": ("value",),
    "clipnorm": ("norm",),
    "globalclipnorm": ("global_norm",),
    # losses
    "binarycrossentropy": ("sigmoid_cross_entropy",),
    "categoricalcrossentropy": ("softmax_cross_entropy",),
    "crossentropy": ("softmax_cross_entropy", "sigmoid_cross_entropy"),
    "mae": ("mean_absolute_error",),
    "mse": ("mean_squared_error",),
    "sparsecategoricalcrossentropy": ("softmax_cross_entropy",),
    # regularisation and what belongs to it
    "ema": ("exponential_moving_average",),
    "swa": ("stochastic_weight_averaging",),
    "cutout": ("erase",),
    "gaussiannoise": ("noise",),
    "jitter": ("noise",),
    "randomerasing": ("erase",),
    "randomflip": ("flip",),
    "randomrotation": ("rotate",),
    "randomtranslation": ("shift",),
    "randomzoom": ("scale",),
    "rotation": ("rotate",),
    "translate": ("shift",),
    "zoom": ("scale",),
    "auto": ("balanced",),
    "oversample": ("balanced",),
    "half": ("float16",),
    "fp16": ("float16",),
    "quantized": ("int8",),
    "false": ("none",),
    # fields
    "alpha": ("negative_slope",),
    "clipthreshold": ("threshold",),
    "clipvalue": ("value", "threshold"),
    "factor": ("reduction_factor",),
    "kernelregularizer": ("regularization",),
    "lr": ("learning_rate",),
    "maxnorm": ("threshold",),
    "mindelta": ("minimum_change",),
    "outputdim": ("units",),
    "p": ("rate",),
    "quantize": ("precision",),
    "stddev": ("deviation",),
    "std": ("deviation",),
    "threshold": ("clipping",),
}
"""A word without its underscores and capitals → what a spec calls it, by preference."""

ELSEWHERE = {
    "amsgrad": "it is an optimizer of its own, amsgrad",
    "clipnorm": "clipping is in training.gradient_clipping",
    "clipvalue": "clipping is in training.gradient_clipping",
    "globalclipnorm": "clipping is in training.gradient_clipping",
    "kernelconstraint": "a largest norm is in regularization, as max_norm",
    "l1": "penalties are in training.regularization, or a layer's regularization",
    "l2": "penalties are in training.regularization, or a layer's regularization",
    "labelsmoothing": "it is a field of training.loss",
    "learningrate": "it is a field of training.optimizer",
    "maxnorm": "it is in training.regularization, or a layer's regularization",
    "momentum": "momentum and nesterov are optimizers of their own",
    "nesterov": "momentum and nesterov are optimizers of their own",
    "optimizer": "it is a field of training",
    "patience": "it is a field of training.early_stopping",
    "recurrentdropout": "put a layer of kind dropout before or after",
    "validationsplit": "it is validation in dataset.split",
    "warmup": "it is a field of training.schedule",
    "weightdecay": "it is in training.regularization",
}
"""A field of other libraries, or of another place → where it is here."""


def plain(word: str) -> str:
    """Return the word without what spellings differ in."""
    return "".join(letter for letter in word.lower() if letter.isalnum())


def own_word(word: str, words: Sequence[str]) -> str | None:
    """Return the one of `words` that `word` spells otherwise, or is known as."""
    spelled = {plain(known): known for known in words}
    if plain(word) in spelled:
        return spelled[plain(word)]
    return next((own for own in OURS.get(plain(word), ()) if own in words), None)
