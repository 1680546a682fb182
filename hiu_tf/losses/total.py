"""The losses of all tasks and stacks as (error, weight of the label), and their weighted means.

A label's weight of 0 means that the sample has no such label. The weighted sum of errors is divided by the sum of
weights, so that such a sample has no influence at all. Weights follow from the labels alone: their sum over all
replicas and parts of a batch is known before anything is predicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import tensorflow as tf

from hiu_tf.tasks.agreement import DENSE_SIDE
from hiu_tf.tasks.base import Loss, Task


def sample_weights(losses: Mapping[str, Loss], labels: dict) -> dict[str, tf.Tensor]:
    """What each sample weighs in each loss, [B]: the sum over its entries."""
    return {name: _over_entries(loss.label_weight(labels)) for name, loss in losses.items()}


def sample_errors(
    losses: Mapping[str, Loss], labels: dict, stacks: list[dict], both_sides: bool = True
) -> dict[str, tf.Tensor]:
    """Each loss of each stack and sample: its weighted sum over entries, [K, B].

    Args:
      losses: by name.
      labels: targets and weights, `without_unlabelled`.
      stacks: predictions of each of K stacks, reconstructed.
      both_sides: whether self-supervision moves the dense branch as well (the paper), or the mesh alone.
    """
    fixed = stacks if both_sides else [_fix_dense_side(predictions) for predictions in stacks]
    return {
        name: tf.stack([_weighted(loss, labels, p) for p in (fixed if loss.self_supervised else stacks)])
        for name, loss in losses.items()
    }


def loss_values(errors: dict[str, tf.Tensor], totals: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Each loss: weighted mean over samples and entries, mean over stacks.

    Args:
      errors: of `sample_errors`, of some of the samples of a batch.
      totals: the sum of weights of the whole batch over all replicas. Values of parts of a batch then add
        up to the value of the whole.
    """
    return {
        name: tf.math.divide_no_nan(tf.reduce_sum(error), totals[name]) / error.shape[0]
        for name, error in errors.items()
    }


def without_unlabelled(labels: dict, tasks: Iterable[Task]) -> dict:
    """The labels with 0 where they weigh nothing, whatever stood there: 0 times the gradient of NaN would be NaN."""
    known = {name: label for task in tasks for name, label in task.labels.items() if name in labels}
    return labels | {
        name: tf.where(tf.reshape(labels[weight], shape) > 0, labels[name], 0.0)
        for name, (weight, shape) in known.items()
    }


def _fix_dense_side(predictions):
    """Predicted mask and read-off joints as constants."""
    return predictions | {name: tf.stop_gradient(predictions[name]) for name in DENSE_SIDE if name in predictions}


def _weighted(loss, labels, predictions):
    error, weight = loss.error(labels, predictions), loss.label_weight(labels)
    # Where the weight is 0 the error may be anything, even not finite: it must not reach the sum.
    return _over_entries(tf.where(weight > 0, error, tf.zeros_like(error)) * weight)


def _over_entries(values):
    return tf.reduce_sum(values, axis=1) if values.shape.rank == 2 else values
