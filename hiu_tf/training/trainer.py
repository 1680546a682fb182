"""The training step: a single-replica view; Keras' fit and the distribution strategy do the rest."""

import tensorflow as tf
import tf_keras as keras

from hiu_tf.config.schema import LossConfig
from hiu_tf.conventions import keys
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.hand.model import HandModel
from hiu_tf.losses.self_supervised import RENDERED
from hiu_tf.losses.total import NEED_RENDERING, SELF_SUPERVISED, active_losses, loss_values
from hiu_tf.models.reconstruction import reconstruct
from hiu_tf.render.silhouette import silhouette


class HIUTrainer(keras.Model):
    """Trains a network on batches (image, targets).

    The steps hold no Python control flow on tensors, so autograph is kept out: it would rewrite all
    of tf_keras and take half a minute before the first step.

    Args:
      network: from `build_hiu`.
      hand: the hand model that its parameters pose.
      losses: weights.
      clip_norm: gradients are scaled down to this global norm, after the sum over replicas.
      finish: makes (image, targets) of what the input pipeline sends; None: it sends just that.
    """

    def __init__(self, network: keras.Model, hand: HandModel, losses: LossConfig, clip_norm: float, finish=None):
        super().__init__(name="hiu_trainer")
        self.finish = finish or (lambda image, targets: (image, targets))
        self.network, self.hand, self.clip_norm = network, hand, clip_norm
        self.loss_weights = active_losses(losses)
        self.warmup_steps, self.both_sides = losses.ssl_warmup_steps, losses.ssl_both_sides
        self.image_size = network.input_shape[1]
        self.trackers = {name: keras.metrics.Mean(name) for name in ("loss", *self.loss_weights, "gradient_norm")}

    @property
    def metrics(self):
        """Means over an epoch of the total, of each loss, and of the gradient's norm before clipping."""
        return list(self.trackers.values())

    def call(self, image, training=False):
        """The network's outputs, one dictionary per stack."""
        return self.network(image, training=training)

    def predictions(self, image, training):
        """Outputs of every stack with hand, projection and (where a loss needs it) rendered mask."""
        render = any(name in self.loss_weights for name in NEED_RENDERING)
        stacks = []
        for outputs in self.network(image, training=training):
            outputs = {name: tf.cast(value, tf.float32) for name, value in outputs.items()}
            stack = outputs | reconstruct(outputs, self.hand, self.image_size)
            if render:
                camera = virtual_intrinsics(self.image_size)
                stack[RENDERED] = silhouette(stack[keys.VERTICES], self.hand.closed_faces, camera, self.image_size)
            stacks.append(stack)
        return stacks

    def compute_losses(self, targets, stacks):
        """Every active loss of this replica's share of the batch, and their weighted sum."""
        values = loss_values(self.loss_weights, targets, stacks, _sum_over_replicas, self.both_sides)
        return values, tf.add_n([self._weight(name) * value for name, value in values.items()])

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data):
        """One step of gradient descent."""
        image, targets = self.finish(*data)
        with tf.GradientTape() as tape:
            values, total = self.compute_losses(targets, self.predictions(image, training=True))
        variables = self.trainable_variables
        gradients = tape.gradient(total, variables)
        pairs = self.optimizer.aggregate_gradients(list(zip(gradients, variables)))
        gradients, norm = tf.clip_by_global_norm([gradient for gradient, _ in pairs], self.clip_norm)
        self.optimizer.apply_gradients(zip(gradients, variables), skip_gradients_aggregation=True)
        return self._report(values | {"loss": total}, norm)

    @tf.autograph.experimental.do_not_convert
    def test_step(self, data):
        """The losses without a step."""
        image, targets = self.finish(*data)
        values, total = self.compute_losses(targets, self.predictions(image, training=False))
        return self._report(values | {"loss": total}, 0.0)

    def _weight(self, name):
        weight = self.loss_weights[name]
        if name not in SELF_SUPERVISED or not self.warmup_steps:
            return weight
        progress = tf.cast(self.optimizer.iterations, tf.float32) / self.warmup_steps
        return weight * tf.minimum(progress, 1.0)

    def _report(self, values, norm):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        for name, value in values.items():
            self.trackers[name].update_state(value * replicas)  # each replica holds its share of the sum
        self.trackers["gradient_norm"].update_state(norm)
        return {name: tracker.result() for name, tracker in self.trackers.items()}


def _sum_over_replicas(value):
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
