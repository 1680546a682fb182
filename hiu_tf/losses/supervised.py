"""Supervised losses (facts/paper 3.2): (labels, predictions) -> errors [B] or [B, N].

What each error weighs says `weights.py`; `total.py` joins the two.
"""

import tensorflow as tf

from hiu_tf.codecs import pof as codec
from hiu_tf.codecs.heatmap import READABLE
from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import BONES
from hiu_tf.geometry.tensor.rotation import rotation_matrix


def heatmaps(gt, pred):
    """Mean squared difference of each joint's map, [B, 21]."""
    return tf.reduce_mean(tf.square(pred[keys.HEATMAPS] - gt[keys.HEATMAPS]), axis=[1, 2])


def pof(gt, pred):
    """Mean squared difference of each channel's field, [B, 60]."""
    field = pred[keys.POF]
    if keys.POF_ONLY_FLAT in gt:
        field = codec.scale_flat(field, gt[keys.POF], gt[keys.POF_ONLY_FLAT])
    return tf.reduce_mean(tf.square(field - gt[keys.POF]), axis=[1, 2])


def mask(gt, pred):
    """Binary cross-entropy of the mask's logits, mean over pixels, [B]."""
    error = tf.nn.sigmoid_cross_entropy_with_logits(labels=gt[keys.MASK], logits=pred[keys.MASK])
    return tf.reduce_mean(error, axis=[1, 2, 3])


def joints_2d(gt, pred):
    """Distance of the projected joints to the labels, as a share of the crop's side, [B, 21]."""
    return distance(pred[keys.JOINTS_2D_PROJECTED], gt[keys.JOINTS_2D]) / side(pred)


def bone_direction(gt, pred):
    """1 - cos of the angle between predicted and labelled bones in 3D, [B, 20]."""
    return 1.0 - tf.reduce_sum(_unit_bones(pred[keys.JOINTS_3D]) * _unit_bones(gt[keys.JOINTS_3D]), axis=-1)


def joints_3d(gt, pred):
    """Distance of the joints in 3D after both wrists are put in the origin, metres, [B, 21]."""
    return distance(_from_wrist(pred[keys.JOINTS_3D]), _from_wrist(gt[keys.JOINTS_3D]))


def joints_2d_read(gt, pred):
    """Distance of the joints read off the heat maps (Equation 1) to the labels, share of the crop, [B, 21].

    0 where a map's peak is too low to be read (heatmap.READABLE).
    """
    return where_readable(pred, distance(pred[keys.JOINTS_2D], gt[keys.JOINTS_2D]) / side(pred))


def vertices(gt, pred):
    """Mean distance of the vertices in 3D after both wrists are put in the origin, metres, [B]."""
    found = pred[keys.VERTICES] - pred[keys.JOINTS_3D][:, :1]
    return tf.reduce_mean(distance(found, gt[keys.VERTICES] - gt[keys.JOINTS_3D][:, :1]), axis=1)


def shape(gt, pred):
    """Mean squared difference of beta, [B]."""
    return tf.reduce_mean(tf.square(pred[keys.SHAPE] - gt[keys.SHAPE]), axis=1)


def pose(gt, pred):
    """Mean squared difference of theta (axis-angle, radians), [B]."""
    return tf.reduce_mean(tf.square(pred[keys.POSE] - gt[keys.POSE]), axis=[1, 2])


def rotation(gt, pred):
    """Angle between predicted and labelled R, radians, [B]; labels are matrices [B, 3, 3]."""
    difference = rotation_matrix(pred[keys.ROTATION]) - gt[keys.ROTATION]
    squared = tf.reduce_sum(tf.square(difference), axis=[1, 2]) / 8.0  # sin(angle / 2) ^ 2
    # Kept off 0 and 180 degrees, where the angle has no derivative.
    return 2.0 * tf.atan2(tf.sqrt(squared + 1e-12), tf.sqrt(tf.maximum(1.0 - squared, 1e-6)))


def pose_prior(gt, pred):
    """Mean square of the pose, [B]; needs no label."""
    del gt
    return tf.reduce_mean(tf.square(pred[keys.POSE]), axis=[1, 2])


def shape_prior(gt, pred):
    """Mean square of the shape, [B]; needs no label."""
    del gt
    return tf.reduce_mean(tf.square(pred[keys.SHAPE]), axis=1)


def distance(a, b):
    """Euclidean distance over the last axis with a finite gradient at 0."""
    return tf.sqrt(tf.reduce_sum(tf.square(a - b), axis=-1) + 1e-12)


def where_readable(pred, errors):
    """Errors [B, 21] of joints whose heat map has a peak that can be read, 0 for the others."""
    return tf.where(pred[keys.SCORES] > READABLE, errors, 0.0)


def side(pred):
    """Side of the crop in pixels."""
    return tf.cast(tf.shape(pred[keys.MASK])[1], tf.float32)


def _unit_bones(joints):
    bones = tf.gather(joints, BONES[:, 1], axis=1) - tf.gather(joints, BONES[:, 0], axis=1)
    return bones / tf.sqrt(tf.reduce_sum(tf.square(bones), axis=-1, keepdims=True) + 1e-12)


def _from_wrist(joints):
    return joints - joints[:, :1]
