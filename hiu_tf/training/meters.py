"""Statistics of an epoch: every loss by stack and by data set, and the number of labels."""

import tensorflow as tf
import tf_keras as keras


class LossMeter(keras.metrics.Metric):
    """Weighted means of losses over an epoch, [losses, stacks, sets].

    Weighted errors and weights are summed separately, so that every label of the epoch counts equally, however
    unevenly labels are distributed over batches, replicas or sets.

    Args:
      losses, sets: names, in order.
      stacks: number of stacks.
    """

    def __init__(self, losses, stacks: int, sets):
        super().__init__(name="losses", dtype=tf.float32)
        self.names, self.sets, self.stacks = tuple(losses), tuple(sets), stacks
        shape = (len(self.names), len(self.sets))
        self.errors = self.add_weight("errors", (shape[0], stacks, shape[1]), initializer="zeros")
        self.weights_seen = self.add_weight("weights", shape, initializer="zeros")
        self.labelled = self.add_weight("labelled", shape, initializer="zeros")

    def update_state(self, errors, weights, numbers):
        """Adds a batch: errors {loss: [K, B]}, weights {loss: [B]}, and the number [B] of each sample's set."""
        by_set = tf.one_hot(numbers, len(self.sets))  # [B, D]
        weights = tf.stack([weights[name] for name in self.names])
        self.errors.assign_add(tf.einsum("lkb,bd->lkd", tf.stack([errors[name] for name in self.names]), by_set))
        self.weights_seen.assign_add(weights @ by_set)
        self.labelled.assign_add(tf.cast(weights > 0, tf.float32) @ by_set)

    def result(self):
        """{loss: mean over stacks, sets and labels}."""
        sums = tf.reduce_sum(self.errors, axis=[1, 2]) / self.stacks
        values = tf.math.divide_no_nan(sums, tf.reduce_sum(self.weights_seen, axis=1))
        return dict(zip(self.names, tf.unstack(values)))

    def reset_state(self):
        """Resets the sums to 0."""
        for variable in self.variables:
            variable.assign(tf.zeros(variable.shape))

    def table(self) -> dict[str, float]:
        """All statistics: "LOSS/stack K" and "LOSS/SET" (means), "labels/LOSS/SET" (number of samples).

        Reads from all replicas: with several workers each of them must call it.
        """
        errors, weights, labelled = (v.read_value().numpy() for v in (self.errors, self.weights_seen, self.labelled))
        found = {}
        for row, loss in enumerate(self.names):
            if self.stacks > 1 and weights[row].sum():
                for k in range(self.stacks):
                    found[f"{loss}/stack {k + 1}"] = float(errors[row, k].sum() / weights[row].sum())
            for column, name in enumerate(self.sets):
                found[f"labels/{loss}/{name}"] = float(labelled[row, column])
                if weights[row, column]:
                    found[f"{loss}/{name}"] = float(errors[row, :, column].mean() / weights[row, column])
        return found
