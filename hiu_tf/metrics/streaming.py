"""Validation metrics of training as Keras metrics, updated batch by batch on any number of replicas; NaN without labels.

Each equals the offline metric of the same name (metrics/metric.py) on the same data, which a test checks.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import NUM_JOINTS
from hiu_tf.metrics.mask import in_picture

_PIXELS, _STEPS, _REFERENCE = 30.0, 20, 256.0


class Joints2DAUC(keras.metrics.Metric):
    """Area under PCK for each joint over 0-30 px of a crop of 256, 20 thresholds; mean over joints."""

    def __init__(self, name: str, key: str, size: int):
        super().__init__(name=name, dtype=tf.float32)
        self.key, self.scale = key, _REFERENCE / size
        self.thresholds = np.linspace(0, _PIXELS, _STEPS).astype(np.float32)
        self.within = self.add_weight("within", (NUM_JOINTS, _STEPS), initializer="zeros")
        self.count = self.add_weight("count", (NUM_JOINTS,), initializer="zeros")

    def update_state(self, targets, predicted):
        """Adds a batch of labels and predictions (keys.py)."""
        labelled = tf.cast(targets[keys.JOINTS_2D_WEIGHT] > 0, tf.float32)
        error = self.scale * tf.norm(predicted[self.key] - targets[keys.JOINTS_2D], axis=-1)
        hits = tf.cast(error[..., tf.newaxis] <= self.thresholds, tf.float32) * labelled[..., tf.newaxis]
        self.within.assign_add(tf.reduce_sum(hits, axis=0))
        self.count.assign_add(tf.reduce_sum(labelled, axis=0))

    def result(self):
        """The area, 0..1."""
        curve = tf.math.divide_no_nan(self.within, self.count[:, tf.newaxis])
        areas = tf.reduce_mean((curve[:, 1:] + curve[:, :-1]) / 2, axis=1)
        return _mean(areas, tf.cast(self.count > 0, tf.float32))

    def reset_state(self):
        """Resets the counts to 0."""
        for variable in self.variables:
            variable.assign(tf.zeros(variable.shape))


class _SampleMean(keras.metrics.Metric):
    """Mean over the samples that have a label."""

    def __init__(self, name: str):
        super().__init__(name=name, dtype=tf.float32)
        self.sum = self.add_weight("sum", initializer="zeros")
        self.count = self.add_weight("count", initializer="zeros")

    def _add(self, values, counted):
        self.sum.assign_add(tf.reduce_sum(tf.where(counted, values, 0.0)))
        self.count.assign_add(tf.reduce_sum(tf.cast(counted, tf.float32)))

    def result(self):
        """The mean."""
        return self.sum / self.count


class MaskIoU(_SampleMean):
    """Mean IoU of the masks of hands cut at 0.5, pixels of the picture alone."""

    def update_state(self, targets, predicted):
        """Adds a batch of labels and predictions (keys.py)."""
        a, b = (in_picture(targets, mask) > 0.5 for mask in (predicted[keys.MASK], targets[keys.MASK][..., 0]))
        both, either = (tf.reduce_sum(tf.cast(m, tf.float32), axis=[1, 2]) for m in (a & b, a | b))
        # Pictures without a hand, whose empty masks teach, are not measured.
        counted = (targets[keys.MASK_WEIGHT] > 0) & tf.reduce_any(b, axis=[1, 2])
        self._add(both / tf.maximum(either, 1.0), counted)


class Joints3DError(_SampleMean):
    """Mean distance of the 3D joints in millimetres, relative to the wrist or after similarity Procrustes.

    Counts only hands with labels for all joints.
    """

    def __init__(self, name: str, aligned: bool):
        super().__init__(name)
        self.aligned = aligned

    def update_state(self, targets, predicted):
        """Adds a batch of labels and predictions (keys.py)."""
        found, truth = predicted[keys.JOINTS_3D], targets[keys.JOINTS_3D]
        if self.aligned:
            found = _procrustes(found, truth)
        else:
            found, truth = found - found[:, :1], truth - truth[:, :1]
        error = 1000.0 * tf.reduce_mean(tf.norm(found - truth, axis=-1), axis=1)
        self._add(error, tf.reduce_all(targets[keys.JOINTS_3D_WEIGHT] > 0, axis=1))


def _procrustes(points, target):
    """TensorFlow version of geometry.alignment.procrustes, without reflection."""
    mean, target_mean = (tf.reduce_mean(p, axis=1, keepdims=True) for p in (points, target))
    centred = points - mean
    s, u, v = tf.linalg.svd(tf.linalg.matmul(target - target_mean, centred, transpose_a=True))
    mirror = tf.sign(tf.linalg.det(u) * tf.linalg.det(v))
    sign = tf.stack([tf.ones_like(mirror), tf.ones_like(mirror), mirror], axis=-1)
    rotation = tf.linalg.matmul(u * sign[:, tf.newaxis], v, transpose_b=True)
    scale = tf.reduce_sum(s * sign, axis=1) / tf.maximum(tf.reduce_sum(centred**2, axis=[1, 2]), 1e-24)
    turned = tf.linalg.matmul(centred, rotation, transpose_b=True)
    return scale[:, tf.newaxis, tf.newaxis] * turned + target_mean


def _mean(values, counted):
    return tf.reduce_sum(values * counted) / tf.reduce_sum(counted)
