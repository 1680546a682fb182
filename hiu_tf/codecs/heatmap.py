"""Heat maps: one Gaussian per key point, decoded by Equation 1."""

import tensorflow as tf

#: Standard deviation of the Gaussian in pixels of a 128-pixel map (16 px at 368, docs/paper.md).
SIGMA_AT_128 = 16 * 128 / 368
#: `decode` treats values below this share of the peak as background. The paper's earlier code uses
#: everything above 0, which pulls every joint towards the middle of the picture as soon as the
#: background is not exactly 0.
FLOOR = 0.25
#: Minimum peak for a decoded position to be used: an empty map decodes to its corner.
READABLE = 0.2


def encode(joints: tf.Tensor, crop_size: int, map_size: int) -> tf.Tensor:
    """Encodes joints [B, J, 2] in crop pixels as heat maps [B, map, map, J] with peak 1, not normalised."""
    centre = to_map(joints, crop_size, map_size)
    grid = tf.range(map_size, dtype=tf.float32)[tf.newaxis, :, tf.newaxis, tf.newaxis]
    variance = (SIGMA_AT_128 * map_size / 128) ** 2
    fall_off = tf.exp(-0.5 * (grid - centre[:, tf.newaxis]) ** 2 / variance)  # [B, map, J, 2]: a Gaussian is separable
    return fall_off[:, :, tf.newaxis, :, 1] * fall_off[:, tf.newaxis, :, :, 0]


def decode(heatmaps: tf.Tensor, crop_size: int, floor: float = FLOOR) -> tf.Tensor:
    """Decodes joints by Equation 1: the normalised first moment of each map. Differentiable.

    Args:
      heatmaps: [B, H, H, J].
      crop_size: side S of the crop, in whose pixels the joints are returned.
      floor: share of the peak below which a map counts as 0; with 0 it is the plain first moment.

    Returns:
      [B, J, 2] crop pixels.
    """
    size = heatmaps.shape[1]
    clipped = tf.clip_by_value(heatmaps, 0.0, 1.0)
    if floor:
        peak = tf.stop_gradient(tf.reduce_max(clipped, axis=[1, 2], keepdims=True))
        clipped = tf.nn.relu(clipped - floor * peak)
    grid = tf.range(size, dtype=tf.float32)
    columns, rows = tf.reduce_sum(clipped, axis=1), tf.reduce_sum(clipped, axis=2)
    mass = tf.reduce_sum(columns, axis=1) + 1e-6
    x = tf.reduce_sum(columns * grid[:, tf.newaxis], axis=1) / mass
    y = tf.reduce_sum(rows * grid[:, tf.newaxis], axis=1) / mass
    return from_map(tf.stack([x, y], axis=-1), crop_size, size)


def scores(heatmaps: tf.Tensor) -> tf.Tensor:
    """Confidence of each joint: the peak of its map, [B, H, H, J] -> [B, J] in [0, 1]."""
    return tf.clip_by_value(tf.reduce_max(heatmaps, axis=[1, 2]), 0.0, 1.0)


def to_map(pixels, crop_size, map_size):
    """Crop pixels -> map pixels; (0, 0) is the centre of the first pixel of each."""
    return (pixels + 0.5) * (map_size / crop_size) - 0.5


def from_map(pixels, crop_size, map_size):
    """Map pixels -> crop pixels."""
    return (pixels + 0.5) * (crop_size / map_size) - 0.5
