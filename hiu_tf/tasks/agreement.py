"""Agreement losses for self-supervision (supplement 1.2): tasks must agree with each other; no label is needed.

Gradients flow to both sides of each agreement, as in the paper's earlier code.
"""

import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import NUM_JOINTS
from hiu_tf.metrics.mask import in_picture
from hiu_tf.tasks.base import Loss, distance, weight_of
from hiu_tf.tasks.heatmaps import where_readable


def ssl_mask(gt, pred):
    """L1 between the mask rendered from the mesh and the predicted mask, mean over pixels, [B]; nothing counts beyond the picture."""
    return tf.reduce_mean(in_picture(gt, tf.abs(pred[keys.RENDERED_MASK] - pred[keys.MASK])), axis=[1, 2])


def ssl_joints(gt, pred):
    """Distance between joints decoded from heat maps (Equation 1) and projected ones, as a share of the crop, [B, 21].

    0 if a map's peak is below heatmap.READABLE: an empty map would pull the mesh to the corner of the crop.
    """
    del gt
    apart = distance(pred[keys.JOINTS_2D], pred[keys.JOINTS_2D_PROJECTED])
    return where_readable(pred, apart / pred[keys.CROP_SIDE])


def every_joint(gt):
    """Weight of each joint of a self-supervised sample, [B, 21]."""
    return tf.repeat(gt[keys.SSL_WEIGHT][:, tf.newaxis], NUM_JOINTS, axis=1)


AGREEMENTS = {
    "ssl_mask": Loss(
        ssl_mask, weight_of(keys.SSL_WEIGHT), 1.0, between=("mask", "hand"), self_supervised=True, renders=True
    ),
    "ssl_joints": Loss(ssl_joints, every_joint, 10.0, between=("heatmaps", "hand"), self_supervised=True),
}
#: Predictions of the dense tasks, which get no gradient with `loss.ssl_both_sides: false`.
DENSE_SIDE = (keys.MASK, keys.JOINTS_2D)
