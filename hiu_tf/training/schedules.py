"""Learning rate schedules."""

import math

import tensorflow as tf
import tf_keras as keras

from hiu_tf.config.schema import TrainConfig


def learning_rate(config: TrainConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """The recipe's schedule: linear warm-up over warmup_steps, then poly or cosine decay to 0 at the last step."""
    return WarmedUp(config.schedule, config.learning_rate, config.steps, config.warmup_steps, config.poly_power)


class WarmedUp(keras.optimizers.schedules.LearningRateSchedule):
    """rate * min((step + 1) / warmup, f((step - warmup) / (steps - warmup))), f from 1 to 0."""

    def __init__(self, kind: str, rate: float, steps: int, warmup: int, power: float):
        self.kind, self.rate, self.steps, self.warmup, self.power = kind, rate, steps, warmup, power

    def __call__(self, step):
        """The rate at a step."""
        step = tf.cast(step, tf.float32)
        done = tf.clip_by_value((step - self.warmup) / max(self.steps - self.warmup, 1), 0.0, 1.0)
        fall = (1.0 - done) ** self.power if self.kind == "poly" else 0.5 * (1.0 + tf.cos(math.pi * done))
        growth = tf.minimum((step + 1.0) / self.warmup, 1.0) if self.warmup else 1.0
        return self.rate * growth * fall

    def get_config(self):
        """Arguments of the constructor."""
        return {"kind": self.kind, "rate": self.rate, "steps": self.steps, "warmup": self.warmup, "power": self.power}


class Times(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule multiplied by a number."""

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, factor: float):
        self.schedule, self.factor = schedule, factor

    def __call__(self, step):
        """The multiplied rate at a step."""
        return self.factor * self.schedule(step)

    def get_config(self):
        """Arguments of the constructor."""
        return {"schedule": self.schedule, "factor": self.factor}
