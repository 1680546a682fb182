"""Optimizers of tensorflow-addons: decoupled weight decay, averaged weights, loss scaling (docs/paper.md)."""

from __future__ import annotations

from functools import partial

import tensorflow_addons as tfa
import tf_keras as keras

from hiu_tf.config.schema import TrainConfig
from hiu_tf.training.schedules import Times, learning_rate

_NOT_DECAYED = ["gamma", "beta", "bias"]
_RULES = {
    "adamw": tfa.optimizers.AdamW,
    "sgdw": partial(tfa.optimizers.SGDW, momentum=0.9, nesterov=True),
}
_NEVER = 2**31 - 1


def build_optimizer(config: TrainConfig) -> keras.optimizers.legacy.Optimizer:
    """Builds the optimizer of a recipe. Its `iterations` count all steps, including skipped ones."""
    rate = learning_rate(config)
    optimizer = _RULES[config.optimizer](
        weight_decay=Times(rate, config.weight_decay), learning_rate=rate, exclude_from_weight_decay=_NOT_DECAYED
    )
    if config.ema:
        optimizer = tfa.optimizers.MovingAverage(optimizer, average_decay=config.ema)
    if config.swa_every:
        start = int(config.swa_from * config.steps)
        optimizer = tfa.optimizers.SWA(optimizer, start_averaging=start, average_period=config.swa_every)
    if config.precision == "mixed_float16":
        return keras.mixed_precision.LossScaleOptimizer(optimizer)
    if config.on_nan == "skip":  # a constant scale of 1: loss scaling then only skips steps that are not finite
        return keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=1, dynamic_growth_steps=_NEVER)
    return optimizer


def create_variables(optimizer: keras.optimizers.legacy.Optimizer, variables: list) -> None:
    """Makes the optimizer's own variables, unless they exist. Moving averages start at the present weights.

    A step that makes them is traced twice by TensorFlow, which takes minutes for large networks.
    """
    optimizer._create_all_weights(variables)


def take_average(optimizer: keras.optimizers.legacy.Optimizer, variables: list) -> bool:
    """Assigns the averaged weights to the variables. Returns False if there is no average yet."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(inner, (tfa.optimizers.MovingAverage, tfa.optimizers.SWA)):
        return False
    start = int(inner._get_hyper("start_averaging")) if isinstance(inner, tfa.optimizers.SWA) else 0
    if int(optimizer.iterations.numpy()) <= start:
        return False
    inner.assign_average_vars(variables)
    return True
