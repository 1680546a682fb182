"""Windows of a batch in a graph: TensorFlow twin of geometry/window.py."""

from __future__ import annotations

import tensorflow as tf

from hiu_tf.geometry.window import MIN_SIDE, SCALE


def around_boxes(boxes: tf.Tensor, scale: float = SCALE) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes [..., 4] (x, y, width, height) -> centres [..., 2] and sides [...] of their windows."""
    longer = tf.maximum(tf.reduce_max(boxes[..., 2:], axis=-1), MIN_SIDE)
    return boxes[..., :2] + boxes[..., 2:] / 2, scale * longer


def similarity(centre: tf.Tensor, side: tf.Tensor, angle, mirrored, size: int) -> tf.Tensor:
    """Similarities [B, 3, 3]: picture pixels -> crop pixels.

    Args:
      centre: [B, 2]; side, angle: [B]; mirrored: [B] bool.
      size: side of the crops, pixels.
    """
    a, b = tf.cos(angle) * size / side, tf.sin(angle) * size / side
    flip = tf.where(mirrored, -1.0, 1.0)
    middle = 0.5 * (size - 1)
    x, y = flip * centre[..., 0], centre[..., 1]
    zero, one = tf.zeros_like(a), tf.ones_like(a)
    rows = [a * flip, -b, middle - a * x + b * y, b * flip, a, middle - b * x - a * y, zero, zero, one]
    return tf.reshape(tf.stack(rows, axis=-1), tf.concat([tf.shape(a), [3, 3]], axis=0))
