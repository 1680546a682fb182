"""Supervised losses (facts/paper 3.2). Each returns errors and their weights, shape [B] or [B, N].

A weight of 0 means that the sample has no such label; `total.py` divides the weighted sum of errors
by the sum of weights, so that such a sample has no influence at all.
"""

import tensorflow as tf

from hiu_tf.codecs import pof as codec
from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import BONES, Joint

#: Weight of each joint in the projected 2D loss: wrist 2.5, finger roots and tips 1.7, others 1.
JOINT_IMPORTANCE = tf.constant(
    [2.5 if name == "WRIST" else 1.7 if name[-1] in "14" else 1.0 for name in Joint.__members__], tf.float32
)


def heatmaps(gt, pred):
    """Mean squared difference of each joint's map, [B, 21]."""
    error = tf.reduce_mean(tf.square(pred[keys.HEATMAPS] - gt[keys.HEATMAPS]), axis=[1, 2])
    return error, gt[keys.HEATMAPS_WEIGHT]


def pof(gt, pred):
    """Mean squared difference of each channel's field, [B, 60]."""
    field = pred[keys.POF]
    if keys.POF_ONLY_FLAT in gt:
        field = codec.scale_flat(field, gt[keys.POF], gt[keys.POF_ONLY_FLAT])
    error = tf.reduce_mean(tf.square(field - gt[keys.POF]), axis=[1, 2])
    return error, gt[keys.POF_WEIGHT]


def mask(gt, pred):
    """Binary cross-entropy of the mask's logits, mean over pixels, [B]."""
    error = tf.nn.sigmoid_cross_entropy_with_logits(labels=gt[keys.MASK], logits=pred[keys.MASK])
    return tf.reduce_mean(error, axis=[1, 2, 3]), gt[keys.MASK_WEIGHT]


def joints_2d(gt, pred):
    """Distance of the projected joints to the labels, as a share of the crop's side, [B, 21]."""
    error = distance(pred[keys.JOINTS_2D_PROJECTED], gt[keys.JOINTS_2D]) / _side(pred)
    return error, gt[keys.JOINTS_2D_WEIGHT] * JOINT_IMPORTANCE


def bone_direction(gt, pred):
    """1 - cos of the angle between predicted and labelled bones in 3D, [B, 20]."""
    cosine = tf.reduce_sum(_unit_bones(pred[keys.JOINTS_3D]) * _unit_bones(gt[keys.JOINTS_3D]), axis=-1)
    return 1.0 - cosine, tf.reduce_min(tf.gather(gt[keys.JOINTS_3D_WEIGHT], BONES, axis=1), axis=-1)


def joints_3d(gt, pred):
    """Distance of the joints in 3D after both wrists are put in the origin, metres, [B, 21]."""
    error = distance(_from_wrist(pred[keys.JOINTS_3D]), _from_wrist(gt[keys.JOINTS_3D]))
    return error, gt[keys.JOINTS_3D_WEIGHT] * gt[keys.JOINTS_3D_WEIGHT][:, :1]


def pose_prior(gt, pred):
    """Mean square of the pose, [B]; every sample counts."""
    del gt
    return _mean_square(pred[keys.POSE], [1, 2])


def shape_prior(gt, pred):
    """Mean square of the shape, [B]; every sample counts."""
    del gt
    return _mean_square(pred[keys.SHAPE], [1])


def distance(a, b):
    """Euclidean distance over the last axis with a finite gradient at 0."""
    return tf.sqrt(tf.reduce_sum(tf.square(a - b), axis=-1) + 1e-12)


def _side(pred):
    return tf.cast(tf.shape(pred[keys.MASK])[1], tf.float32)


def _unit_bones(joints):
    bones = tf.gather(joints, BONES[:, 1], axis=1) - tf.gather(joints, BONES[:, 0], axis=1)
    return bones / tf.sqrt(tf.reduce_sum(tf.square(bones), axis=-1, keepdims=True) + 1e-12)


def _from_wrist(joints):
    return joints - joints[:, :1]


def _mean_square(values, axes):
    error = tf.reduce_mean(tf.square(values), axis=axes)
    return error, tf.ones_like(error)
