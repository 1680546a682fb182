"""Axis-angle rotations, exact and differentiable everywhere, in builtin ops (TFLite-safe).

tensorflow-graphics has the same conversions, but its `axis_angle` divides by the angle: at angle 0, where
every hand starts, the gradient is NaN. Tests compare ours with it at other angles.
"""

import tensorflow as tf

_SMALL = 1e-6  # squared angle below which the series replaces the quotient


def rotation_matrix(axis_angle: tf.Tensor) -> tf.Tensor:
    """Rodrigues' formula: axis-angle [..., 3] (radians) -> rotation matrix [..., 3, 3]."""
    x, y, z = tf.split(axis_angle, 3, axis=-1)
    a, b = _sinc_terms(tf.reduce_sum(axis_angle * axis_angle, axis=-1, keepdims=True))
    # I + a [w] + b (w w^T - |w|^2 I).
    rows = (
        [1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y],
        [b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x],
        [b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y)],
    )
    return tf.stack([tf.concat(row, axis=-1) for row in rows], axis=-2)


def compose(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Axis-angle of R(first) R(second), [..., 3] each (broadcast); angles in [0, pi].

    Computes with quaternions, which have no singular angle between 0 and pi.
    """
    (w1, v1), (w2, v2) = _quaternion(first), _quaternion(second)
    w = w1 * w2 - tf.reduce_sum(v1 * v2, axis=-1, keepdims=True)
    v = w1 * v2 + w2 * v1 + cross(v1, v2)
    sign = tf.where(w < 0, tf.constant(-1, w.dtype), tf.constant(1, w.dtype))
    return _from_quaternion(w * sign, v * sign)


def _sinc_terms(squared):
    """sin(t)/t and (1 - cos(t))/t^2 from t^2, with finite gradients at 0."""
    small = squared < _SMALL
    safe = tf.where(small, tf.constant(1, squared.dtype), squared)
    angle = tf.sqrt(safe)
    a = tf.where(small, 1 - squared / 6, tf.sin(angle) / angle)
    half = tf.sin(0.5 * angle)  # 1 - cos = 2 sin^2(t/2) keeps its digits for small t
    b = tf.where(small, 0.5 - squared / 24, 2 * half * half / safe)
    return a, b


def _quaternion(axis_angle):
    squared = tf.reduce_sum(axis_angle * axis_angle, axis=-1, keepdims=True)
    small = squared < _SMALL
    angle = tf.sqrt(tf.where(small, tf.constant(1, squared.dtype), squared))
    w = tf.where(small, 1 - squared / 8, tf.cos(0.5 * angle))
    scale = tf.where(small, 0.5 - squared / 48, tf.sin(0.5 * angle) / angle)
    return w, axis_angle * scale


def _from_quaternion(w, v):
    squared = tf.reduce_sum(v * v, axis=-1, keepdims=True)
    small = squared < _SMALL
    norm = tf.sqrt(tf.where(small, tf.constant(1, squared.dtype), squared))
    return v * tf.where(small, 2 + squared / 3, 2 * tf.atan2(norm, w) / norm)


def cross(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Cross product over the last axis, [..., 3] each; tf.linalg.cross has no TFLite operation."""
    ax, ay, az = tf.split(a, 3, axis=-1)
    bx, by, bz = tf.split(b, 3, axis=-1)
    return tf.concat([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)
