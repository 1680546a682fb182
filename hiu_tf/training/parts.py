"""The parts of a network, by the names of their layers."""

from __future__ import annotations

import re

import tensorflow as tf
import tf_keras as keras

from hiu_tf.config.schema import BATCH_NORM
from hiu_tf.errors import ConfigError

_STACK = re.compile(r"(stack\d+)_([a-z]+)")


def part_of(name: str) -> str:
    """The part of a layer, by its name, such as "stem", "stack1_encoder", "regressor" (or "stack1_regressor")."""
    stack = _STACK.match(name)
    return f"{stack[1]}_{stack[2]}" if stack else re.match(r"[a-z]+", name)[0]


def freeze(network: keras.Model, parts: tuple[str, ...]) -> None:
    """Freezes weights and batch norm statistics of parts of the network, in every stack.

    Args:
      network: from `build_hiu`.
      parts: names of parts without their stack. "batch_norm" stands for the batch norm of all parts, which then normalise by
        what their statistics are at the start, as in prediction, and not by each batch.

    Raises:
      ConfigError: the network has no such part.
    """
    of_layer = {layer: part_of(layer.name).rpartition("_")[2] for layer in network.layers}
    known = [*dict.fromkeys(part for layer, part in of_layer.items() if layer.weights), BATCH_NORM]
    unknown = sorted(set(parts) - set(known))
    if unknown:
        raise ConfigError(f"train.freeze: the network has no part {unknown[0]!r}; its parts are {', '.join(known)}")
    for layer, part in of_layer.items():
        if part in parts:
            layer.trainable = False
    for layer in network.submodules if BATCH_NORM in parts else ():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


class PartNorms(keras.metrics.Metric):
    """Mean gradient norm of each part of a network.

    Args:
      network: whose trainable variables have the order of the gradients.
    """

    def __init__(self, network: keras.Model):
        super().__init__(name="part_norms", dtype=tf.float32)
        # A variable within a nested model is named without its stack.
        of_variable = {weight.ref(): part_of(layer.name) for layer in network.layers for weight in layer.weights}
        self.parts = [of_variable[variable.ref()] for variable in network.trainable_variables]
        self.names = tuple(dict.fromkeys(self.parts))
        self.sums = self.add_weight("sums", (len(self.names),), initializer="zeros")
        self.steps = self.add_weight("steps", initializer="zeros")

    def norms(self, gradients) -> tf.Tensor:
        """Norms [parts] of one step's gradients."""
        halves = {name: [] for name in self.names}  # of the squares
        for part, gradient in zip(self.parts, gradients):
            halves[part].append(tf.nn.l2_loss(tf.cast(gradient, tf.float32)))
        return tf.sqrt(2.0 * tf.stack([tf.add_n(values) for values in halves.values()]))

    def update_state(self, norms, is_finite):
        """Adds a step's norms if all of them are finite."""
        self.sums.assign_add(tf.math.multiply_no_nan(norms, is_finite))
        self.steps.assign_add(is_finite)

    def result(self):
        """The largest mean norm."""
        return tf.reduce_max(tf.math.divide_no_nan(self.sums, self.steps))

    def reset_state(self):
        """Resets the sums to 0."""
        for variable in self.variables:
            variable.assign(tf.zeros(variable.shape))

    def table(self) -> dict[str, float]:
        """{"gradient_norm/PART": mean norm}; reads from all replicas."""
        means = tf.math.divide_no_nan(self.sums.read_value(), self.steps.read_value()).numpy()
        return {f"gradient_norm/{name}": float(mean) for name, mean in zip(self.names, means)}
