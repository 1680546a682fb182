"""All losses of all stacks as one table, and their weighted sum."""

import tensorflow as tf

from hiu_tf.config.schema import LossConfig
from hiu_tf.conventions import keys
from hiu_tf.losses import self_supervised, supervised

#: name -> function (gt, pred) -> (errors, weights)
LOSSES = {
    keys.LOSS_HEATMAPS: supervised.heatmaps,
    keys.LOSS_POF: supervised.pof,
    keys.LOSS_MASK: supervised.mask,
    keys.LOSS_JOINTS_2D: supervised.joints_2d,
    keys.LOSS_BONE_DIRECTION: supervised.bone_direction,
    keys.LOSS_JOINTS_3D: supervised.joints_3d,
    keys.LOSS_SILHOUETTE: self_supervised.silhouette,
    keys.LOSS_SSL_MASK: self_supervised.ssl_mask,
    keys.LOSS_SSL_JOINTS: self_supervised.ssl_joints,
    keys.LOSS_POSE_PRIOR: supervised.pose_prior,
    keys.LOSS_SHAPE_PRIOR: supervised.shape_prior,
}
NEED_RENDERING = (keys.LOSS_SILHOUETTE, keys.LOSS_SSL_MASK)
SELF_SUPERVISED = (keys.LOSS_SSL_MASK, keys.LOSS_SSL_JOINTS)


def active_losses(config: LossConfig) -> dict[str, float]:
    """Name and weight of the losses that count."""
    return {name: getattr(config, name) for name in LOSSES if getattr(config, name) > 0}


def loss_values(
    names, gt: dict, stacks: list[dict], global_sum=lambda x: x, both_sides: bool = True
) -> dict[str, tf.Tensor]:
    """Each named loss: weighted mean over samples and entries, mean over stacks.

    Args:
      names: which losses.
      gt: targets and weights of this replica's samples.
      stacks: predictions of each stack, reconstructed.
      global_sum: sums a scalar over all replicas. The weighted sum of this replica is divided by the
        global sum of weights; summing the result over replicas gives the loss of the whole batch.
      both_sides: whether self-supervision moves the dense branch as well (the paper), or the mesh alone.
    """
    fixed = stacks if both_sides else [_fix_dense_branch(pred) for pred in stacks]
    return {
        name: sum(
            _weighted_mean(*LOSSES[name](gt, pred), global_sum)
            for pred in (fixed if name in SELF_SUPERVISED else stacks)
        )
        / len(stacks)
        for name in names
    }


def _fix_dense_branch(pred):
    """Predicted mask and read-off joints as constants."""
    return pred | {name: tf.stop_gradient(pred[name]) for name in (keys.MASK, keys.JOINTS_2D)}


def _weighted_mean(errors, weights, global_sum):
    # Where the weight is 0 the error may be anything, even not finite: it must not reach the sum.
    errors = tf.where(weights > 0, errors, tf.zeros_like(errors))
    total = global_sum(tf.reduce_sum(weights))
    return tf.math.divide_no_nan(tf.reduce_sum(errors * weights), total)
