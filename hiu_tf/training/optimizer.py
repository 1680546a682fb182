"""Adam with decoupled weight decay and the poly schedule (facts/paper 4)."""

import tf_keras as keras

from hiu_tf.config.schema import TrainConfig


def build_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe; with train.ema it also keeps a moving average of the weights."""
    schedule = keras.optimizers.schedules.PolynomialDecay(
        config.learning_rate, config.steps, end_learning_rate=0.0, power=config.poly_power
    )
    average = {"use_ema": True, "ema_momentum": config.ema} if config.ema else {}
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay, **average)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer
