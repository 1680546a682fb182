"""The training step of one replica. Keras' fit and the distribution strategy do the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hiu_tf.config.schema import LossConfig, TrainConfig
from hiu_tf.conventions import keys
from hiu_tf.hand.model import HandModel
from hiu_tf.losses.total import loss_values, sample_errors, sample_weights, without_unlabelled
from hiu_tf.models.reconstruction import reconstruct
from hiu_tf.tasks import PAPER, active_losses, losses_of
from hiu_tf.tasks.base import Task
from hiu_tf.training.meters import LossMeter
from hiu_tf.training.parts import PartNorms


class HIUTrainer(keras.Model):
    """Trains a network on batches (image [B, S, S, 3], targets).

    The steps have no Python control flow on tensors, so autograph is disabled: it would convert all of
    tf_keras, which takes half a minute before the first step.

    Args:
      network: from `build_hiu`.
      hand: the hand model that its parameters pose.
      losses: weights of the losses.
      train: gradient clipping (after the sum over replicas), accumulation, steps per execution, on_nan, xla.
      sets: names of the data sets, indexed by keys.SET_NUMBER in the targets.
      finish: computes (image, targets) of a batch on the device; None if batches already are (image, targets).
      report: called with (step, image, targets, {loss: errors [K, B]}, {part: gradient norm}) if a loss or
        gradient is not finite.
      tasks: of the network.
    """

    def __init__(
        self,
        network: keras.Model,
        hand: HandModel,
        losses: LossConfig,
        train: TrainConfig,
        sets: tuple[str, ...] = ("all",),
        finish: Callable | None = None,
        report: Callable | None = None,
        tasks: tuple[Task, ...] = PAPER,
    ):
        super().__init__(name="hiu_trainer")
        self.network, self.hand, self.tasks = network, hand, tasks
        self.run_network = tf.function(network, autograph=False, jit_compile=True) if train.xla else network
        self.finish = finish or (lambda batch: batch)
        self.report = report
        self.distribute_reduction_method = "first"  # results already cover all replicas: Keras must not sum them again
        self.clip_norm, self.parts, self.skips = train.clip_norm, train.accumulate, train.on_nan == "skip"
        self.overflows = train.precision == "mixed_float16"
        self.at_once = train.steps_per_execution
        self.loss_weights = active_losses(losses, tasks)
        self.losses_by_name = {name: losses_of(tasks)[name] for name in self.loss_weights}
        self.renders = any(loss.renders for loss in self.losses_by_name.values())
        self.warmup_steps, self.both_sides = losses.ssl_warmup_steps, losses.ssl_both_sides
        self.image_size = network.input_shape[1]
        self.meter = LossMeter(self.loss_weights, len(network.output), sets)
        self.total, self.norm = keras.metrics.Mean("loss"), keras.metrics.Mean("gradient_norm")
        self.part_norms = PartNorms(network)
        self.skipped = keras.metrics.Sum("skipped_steps")
        self.quality = [metric for task in tasks for metric in task.streaming(self.image_size)]
        self.input_wait = tf.Variable(0.0, trainable=False, dtype=tf.float64, name="input_wait")

    @property
    def metrics(self):
        """Metrics that Keras resets at the start of an epoch."""
        return [self.total, self.norm, self.part_norms, self.skipped, self.meter, *self.quality]

    def call(self, image, training=False):
        """The network's outputs, one dictionary per stack."""
        return self.network(image, training=training)

    def predictions(self, image, training):
        """Predictions of every stack: posed hand, projection and (if a loss needs it) rendered mask."""
        return [
            reconstruct(outputs, self.hand, self.image_size, self.tasks, self.renders)
            for outputs in self.run_network(image, training=training)
        ]

    def compute_losses(self, targets, stacks, weights, totals):
        """Errors {loss: [K, B]} of a part of the batch, and its share of the weighted sum of losses.

        Args:
          weights: {loss: weight}.
          totals: {loss: sum of label weights} of the whole batch, over all replicas.
        """
        labels = without_unlabelled(targets, self.tasks)
        errors = sample_errors(self.losses_by_name, labels, stacks, self.both_sides)
        values = loss_values(errors, totals)
        return errors, tf.add_n([weights[name] * value for name, value in values.items()])

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data):
        """One step of gradient descent."""
        image, targets = _never_empty(*self.finish(data))
        weights = sample_weights(self.losses_by_name, targets)
        totals = self._totals(weights)
        statistics = self._statistics()
        gradients, errors, total = self._accumulated(image, targets, totals)
        gradients = _all_replicas(gradients)
        part_norms = self.part_norms.norms(gradients)
        gradients, norm = tf.clip_by_global_norm(gradients, self.clip_norm, use_norm=tf.norm(part_norms))
        # The norm covers all replicas, so that all of them skip a step or none. Scaled float16 gradients may overflow.
        is_finite = tf.math.is_finite(norm)
        self._mend(statistics, is_finite)
        is_good = tf.math.is_finite(total) & (is_finite | self.overflows)
        if self.report:
            tf.cond(is_good, lambda: True, lambda: self._report(image, targets, errors, part_norms))
        pairs = list(zip(gradients, self.trainable_variables))
        self.optimizer.apply_gradients(pairs, experimental_aggregate_gradients=False)
        total = tf.where(is_good, total, np.nan)  # weights may be NaN although the loss is finite: ReLU can hide NaN
        is_finite = tf.cast(is_finite, tf.float32)
        self.norm.update_state(tf.math.multiply_no_nan(norm, is_finite), sample_weight=is_finite)
        self.part_norms.update_state(part_norms, is_finite)
        counted = is_finite if self.skips else 1.0
        self.skipped.update_state((1.0 - counted) / tf.distribute.get_strategy().num_replicas_in_sync)
        results = self._count(targets, weights, errors, total, counted) | {"gradient_norm": self.norm.result()}
        return results | ({"skipped_steps": self.skipped.result()} if self.skips else {})

    @tf.autograph.experimental.do_not_convert
    def test_step(self, data):
        """Computes the losses, and the metrics of the last stack, without an update of the weights."""
        image, targets = _never_empty(*data)
        weights = sample_weights(self.losses_by_name, targets)
        stacks = self.predictions(image, training=False)
        # Uses full loss weights, so that results at different steps of the warm-up are comparable.
        errors, total = self.compute_losses(targets, stacks, self.loss_weights, self._totals(weights))
        for metric in self.quality:
            metric.update_state(targets, stacks[-1])
        return self._count(targets, weights, errors, total) | {m.name: m.result() for m in self.quality}

    def make_train_function(self, force=False):
        """Keras' function without autograph, and with a timer for the wait for input."""
        if self.train_function is None or force:
            self.train_function = tf.function(self._execution, autograph=False, reduce_retracing=True)
        return self.train_function

    def _execution(self, iterator):
        """Runs steps_per_execution steps. Returns the results after the last one."""
        if self.at_once == 1:
            return self._timed_step(iterator)
        names = ("loss", *self.loss_weights, "gradient_norm", *(["skipped_steps"] if self.skips else []))

        def step(k, *_):
            results = self._timed_step(iterator)
            return [k + 1, *(results[name] for name in names)]

        begin = [tf.constant(0, tf.int64), *(tf.constant(0.0) for _ in names)]
        _, *values = tf.while_loop(lambda k, *_: k < self._steps_per_execution, step, begin, parallel_iterations=1)
        return dict(zip(names, values))

    def _timed_step(self, iterator):
        start = tf.timestamp()
        with tf.control_dependencies([start]):
            data = next(iterator)
        with tf.control_dependencies(tf.nest.flatten(data, expand_composites=True)):
            wait = tf.timestamp() - start
        with tf.control_dependencies([wait]):  # else operations of the step would run before the clock is read
            data = tf.nest.map_structure(tf.identity, data, expand_composites=True)
        results = self.distribute_strategy.run(self.train_step, args=(data,))
        with tf.control_dependencies([self.input_wait.assign_add(wait)]):
            return {
                name: tf.identity(self.distribute_strategy.experimental_local_results(value)[0])
                for name, value in results.items()
            }

    def _accumulated(self, image, targets, totals):
        """Gradients, errors and loss of the batch, accumulated over its parts."""
        gradients, errors, losses = None, [], []
        for batch in _parts((image, targets), self.parts):
            if gradients is not None:  # start the next part only when this one's memory is free
                with tf.control_dependencies(gradients):
                    batch = tf.nest.map_structure(tf.identity, batch)
            found, part_errors, loss = self._gradients(*batch, totals)
            gradients = found if gradients is None else [a + b for a, b in zip(gradients, found)]
            errors.append(part_errors)
            losses.append(loss)
        errors = {name: tf.concat([part[name] for part in errors], axis=1) for name in self.loss_weights}
        return gradients, errors, tf.add_n(losses)

    def _gradients(self, image, targets, totals):
        scales = hasattr(self.optimizer, "get_scaled_loss")
        with tf.GradientTape() as tape:
            stacks = self.predictions(image, training=True)
            errors, loss = self.compute_losses(targets, stacks, self._warmed_weights(), totals)
            scaled = self.optimizer.get_scaled_loss(loss) if scales else loss
        gradients = tape.gradient(scaled, self.trainable_variables, unconnected_gradients="zero")
        return self.optimizer.get_unscaled_gradients(gradients) if scales else gradients, errors, loss

    def _statistics(self):
        """Values of batch norm statistics, to be restored if the step is skipped."""
        if not hasattr(self.optimizer, "get_scaled_loss"):
            return []
        return [tf.identity(variable) for variable in self.network.non_trainable_variables]

    def _mend(self, statistics, is_finite):
        """Restores the batch norm statistics, which the forward pass of a skipped step has changed."""
        for variable, before in zip(self.network.non_trainable_variables, statistics):
            variable.assign(tf.where(is_finite, variable, before))

    def _totals(self, weights):
        return {name: _all_replicas(tf.reduce_sum(weight)) for name, weight in weights.items()}

    def _warmed_weights(self):
        """Weights of the losses at this step; those of self-supervision grow during the warm-up."""
        if not self.warmup_steps:
            return self.loss_weights
        progress = tf.minimum(tf.cast(self.optimizer.iterations, tf.float32) / self.warmup_steps, 1.0)
        return self.loss_weights | {
            name: progress * self.loss_weights[name]
            for name, loss in self.losses_by_name.items()
            if loss.self_supervised
        }

    def _report(self, image, targets, errors, part_norms):
        """Calls `report` outside the graph. Returns true."""
        structure = (image, targets, errors, dict(zip(self.part_norms.names, tf.unstack(part_norms))))

        def write(step, *flat):
            self.report(step, *tf.nest.pack_sequence_as(structure, flat))
            return True

        return tf.py_function(write, [self.optimizer.iterations, *tf.nest.flatten(structure)], tf.bool)

    def _count(self, targets, weights, errors, total, counted=1.0):
        numbers = targets.get(keys.SET_NUMBER, tf.zeros(tf.shape(targets[keys.SSL_WEIGHT]), tf.int32))
        if self.skips:
            errors = {name: tf.math.multiply_no_nan(error, counted) for name, error in errors.items()}
            weights = {name: weight * counted for name, weight in weights.items()}
            total = tf.math.multiply_no_nan(total, counted)
        self.meter.update_state(errors, weights, numbers)
        # Each replica has its share of the sum.
        self.total.update_state(total * tf.distribute.get_strategy().num_replicas_in_sync, sample_weight=counted)
        return {"loss": self.total.result(), **self.meter.result()}


def _never_empty(image, targets):
    """Gives a replica without samples (in a small last batch) a dummy sample of weight 0."""
    if image.shape[0] is not None:
        return image, targets
    missing = tf.cast(tf.equal(tf.shape(image)[0], 0), tf.int32)
    counted = tf.ones_like(targets[keys.SSL_WEIGHT])
    fill = lambda value: tf.pad(value, [[0, missing], *([[0, 0]] * (value.shape.rank - 1))])
    return tf.nest.map_structure(fill, (image, targets | {keys.COUNTED: counted}))


def _parts(batch, count):
    """Splits the batch into `count` equal parts."""
    split = [tf.split(value, count) for value in tf.nest.flatten(batch)]
    return [tf.nest.pack_sequence_as(batch, part) for part in zip(*split)] if count > 1 else [batch]


def _all_replicas(value):
    """Sum of a tensor, or of each of a list, over all replicas."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
