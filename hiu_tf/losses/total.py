"""The losses of all tasks and stacks as (error, weight of the label), and their weighted means.

A label weight of 0 means that the sample does not have the label. The weighted sum of errors is divided by the sum of
weights, so that such a sample has no influence. Weights depend only on the labels, so that their sum over all
replicas and parts of a batch is known before the forward pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import tensorflow as tf

from hiu_tf.tasks.agreement import DENSE_SIDE
from hiu_tf.tasks.base import Loss, Task


def sample_weights(losses: Mapping[str, Loss], labels: dict) -> dict[str, tf.Tensor]:
    """Weight of each sample in each loss, [B]: the sum of the label weights over its entries."""
    return {name: _over_entries(loss.label_weight(labels)) for name, loss in losses.items()}


def sample_errors(
    losses: Mapping[str, Loss], labels: dict, stacks: list[dict], both_sides: bool = True
) -> dict[str, tf.Tensor]:
    """Error of each loss, stack and sample: the weighted sum over entries, {loss: [K, B]}.

    Args:
      losses: name -> loss.
      labels: targets and weights, after `without_unlabelled`.
      stacks: reconstructed predictions of each of K stacks.
      both_sides: whether self-supervision sends gradients to the dense branch too (the paper), or to the mesh alone.
    """
    fixed = stacks if both_sides else [_fix_dense_side(predictions) for predictions in stacks]
    return {
        name: tf.stack([_weighted(loss, labels, p) for p in (fixed if loss.self_supervised else stacks)])
        for name, loss in losses.items()
    }


def loss_values(errors: dict[str, tf.Tensor], totals: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Value of each loss: weighted mean over samples and entries, mean over stacks.

    Args:
      errors: output of `sample_errors` for a batch or a part of it.
      totals: sums of weights of the whole batch over all replicas, so that the values of the parts add up to the
        value of the whole batch.
    """
    return {
        name: tf.math.divide_no_nan(tf.reduce_sum(error), totals[name]) / error.shape[0]
        for name, error in errors.items()
    }


def without_unlabelled(labels: dict, tasks: Iterable[Task]) -> dict:
    """Sets labels of weight 0 to 0. A NaN there would make the gradient NaN, even when multiplied by 0."""
    known = {name: label for task in tasks for name, label in task.labels.items() if name in labels}
    return labels | {
        name: tf.where(tf.reshape(labels[weight], shape) > 0, labels[name], 0.0)
        for name, (weight, shape) in known.items()
    }


def _fix_dense_side(predictions):
    """Stops the gradient of the predicted mask and of the joints decoded from heat maps."""
    return predictions | {name: tf.stop_gradient(predictions[name]) for name in DENSE_SIDE if name in predictions}


def _weighted(loss, labels, predictions):
    error, weight = loss.error(labels, predictions), loss.label_weight(labels)
    # An error of weight 0 may be anything, even not finite: it must not reach the sum.
    return _over_entries(tf.where(weight > 0, error, tf.zeros_like(error)) * weight)


def _over_entries(values):
    return tf.reduce_sum(values, axis=1) if values.shape.rank == 2 else values
