"""All losses of all stacks as one table of (error, weight), and their weighted means."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from hiu_tf.config.schema import LossConfig
from hiu_tf.conventions import keys
from hiu_tf.losses import self_supervised, supervised, weights


class Loss(NamedTuple):
    """error: (labels, predictions) -> [B] or [B, N]; weight: labels -> the same shape."""

    error: Callable[[dict, dict], tf.Tensor]
    weight: Callable[[dict], tf.Tensor]


LOSSES = {
    keys.LOSS_HEATMAPS: Loss(supervised.heatmaps, weights.of_label(keys.HEATMAPS_WEIGHT)),
    keys.LOSS_POF: Loss(supervised.pof, weights.of_label(keys.POF_WEIGHT)),
    keys.LOSS_MASK: Loss(supervised.mask, weights.of_label(keys.MASK_WEIGHT)),
    keys.LOSS_JOINTS_2D: Loss(supervised.joints_2d, weights.important_joints),
    keys.LOSS_BONE_DIRECTION: Loss(supervised.bone_direction, weights.whole_bones),
    keys.LOSS_JOINTS_3D: Loss(supervised.joints_3d, weights.joints_with_wrist),
    keys.LOSS_JOINTS_2D_READ: Loss(supervised.joints_2d_read, weights.of_label(keys.JOINTS_2D_WEIGHT)),
    keys.LOSS_VERTICES: Loss(supervised.vertices, weights.whole_meshes),
    keys.LOSS_SHAPE: Loss(supervised.shape, weights.whole_parameters),
    keys.LOSS_POSE: Loss(supervised.pose, weights.whole_parameters),
    keys.LOSS_ROTATION: Loss(supervised.rotation, weights.whole_parameters),
    keys.LOSS_SILHOUETTE: Loss(self_supervised.silhouette, weights.of_label(keys.MASK_WEIGHT)),
    keys.LOSS_SSL_MASK: Loss(self_supervised.ssl_mask, weights.of_label(keys.SSL_WEIGHT)),
    keys.LOSS_SSL_JOINTS: Loss(self_supervised.ssl_joints, weights.every_joint_of_ssl),
    keys.LOSS_POSE_PRIOR: Loss(supervised.pose_prior, weights.every_sample),
    keys.LOSS_SHAPE_PRIOR: Loss(supervised.shape_prior, weights.every_sample),
}
NEED_RENDERING = (keys.LOSS_SILHOUETTE, keys.LOSS_SSL_MASK)
SELF_SUPERVISED = (keys.LOSS_SSL_MASK, keys.LOSS_SSL_JOINTS)


def active_losses(config: LossConfig) -> dict[str, float]:
    """Name and weight of the losses that count."""
    return {name: getattr(config, name) for name in LOSSES if getattr(config, name) > 0}


def sample_weights(names, gt: dict) -> dict[str, tf.Tensor]:
    """What each sample weighs in each named loss, [B]: the sum over its entries."""
    return {name: _over_entries(LOSSES[name].weight(gt)) for name in names}


def sample_errors(names, gt: dict, stacks: list[dict], both_sides: bool = True) -> dict[str, tf.Tensor]:
    """Each named loss of each stack and sample: its weighted sum over entries, [K, B].

    Args:
      names: which losses.
      gt: targets and weights.
      stacks: predictions of each of K stacks, reconstructed.
      both_sides: whether self-supervision moves the dense branch as well (the paper), or the mesh alone.
    """
    gt = weights.without_unlabelled(gt)
    fixed = stacks if both_sides else [_fix_dense_branch(pred) for pred in stacks]
    return {
        name: tf.stack([_weighted(LOSSES[name], gt, pred) for pred in (fixed if name in SELF_SUPERVISED else stacks)])
        for name in names
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


def _fix_dense_branch(pred):
    """Predicted mask and read-off joints as constants."""
    return pred | {name: tf.stop_gradient(pred[name]) for name in (keys.MASK, keys.JOINTS_2D)}


def _weighted(loss, gt, pred):
    error, weight = loss.error(gt, pred), loss.weight(gt)
    # Where the weight is 0 the error may be anything, even not finite: it must not reach the sum.
    return _over_entries(tf.where(weight > 0, error, tf.zeros_like(error)) * weight)


def _over_entries(values):
    return tf.reduce_sum(values, axis=1) if values.shape.rank == 2 else values
