"""Part orientation fields: along each bone, which way it points in the picture and in depth.

The paper's encoding (facts/paper 2.2): (u_x, u_y, w_z) with u the unit 2D direction of the
projected bone and w the unit 3D direction, parent to child, on a band around the bone; 0 elsewhere.
"""

import tensorflow as tf

from hiu_tf.codecs.heatmap import to_map
from hiu_tf.conventions.skeleton import BONES, NUM_BONES

#: Half width of the band, pixels of a 128-pixel map (facts/paper 2.2).
BAND_AT_128 = 24 * 128 / 368


def encode(joints_2d: tf.Tensor, joints_3d: tf.Tensor, crop_size: int, map_size: int) -> tf.Tensor:
    """Joints [B, 21, 2] (crop pixels) and [B, 21, 3] -> [B, map, map, 60], bone-major."""
    points = to_map(joints_2d, crop_size, map_size)
    band = bands(points, map_size)
    direction = directions(joints_2d, joints_3d)
    field = band[..., tf.newaxis] * direction[:, tf.newaxis, tf.newaxis]
    return tf.reshape(field, [-1, map_size, map_size, NUM_BONES * 3])


def weights(joints_2d_weight: tf.Tensor, joints_3d_weight: tf.Tensor) -> tf.Tensor:
    """Weights [B, 60]: (x, y) where both 2D ends are labelled, z where both 3D ends are as well."""
    flat = tf.reduce_min(tf.gather(joints_2d_weight, BONES, axis=1), axis=-1)
    deep = flat * tf.reduce_min(tf.gather(joints_3d_weight, BONES, axis=1), axis=-1)
    return tf.reshape(tf.stack([flat, flat, deep], axis=-1), [-1, NUM_BONES * 3])


def decode(field: tf.Tensor, joints_2d: tf.Tensor, crop_size: int) -> tf.Tensor:
    """Mean of a field [B, H, H, 60] along each bone's band -> (u_x, u_y, w_z) per bone [B, 20, 3]."""
    size = field.shape[1]
    band = bands(to_map(joints_2d, crop_size, size), size)
    vectors = tf.reshape(field, [-1, size, size, NUM_BONES, 3])
    mass = tf.reduce_sum(band, axis=[1, 2])[..., tf.newaxis] + 1e-6
    return tf.einsum("bhwn,bhwnc->bnc", band, vectors) / mass


def directions(joints_2d, joints_3d):
    """(u_x, u_y, w_z) of each bone, [B, 20, 3]."""
    flat = _bone_vectors(joints_2d)
    deep = _bone_vectors(joints_3d)
    u = flat / tf.maximum(tf.norm(flat, axis=-1, keepdims=True), 1e-6)
    w = deep / tf.maximum(tf.norm(deep, axis=-1, keepdims=True), 1e-6)
    return tf.concat([u, w[..., 2:]], axis=-1)


def bands(points, size):
    """1 near each bone's line and inside its grown bounding box, else 0: [B, 21, 2] -> [B, H, H, 20]."""
    width = BAND_AT_128 * size / 128
    start, end = (tf.gather(points, BONES[:, k], axis=1)[:, tf.newaxis, tf.newaxis] for k in (0, 1))
    axis = (end - start) / tf.maximum(tf.norm(end - start, axis=-1, keepdims=True), 1e-6)
    grid = tf.range(size, dtype=tf.float32)
    x, y = grid[tf.newaxis, tf.newaxis, :, tf.newaxis], grid[tf.newaxis, :, tf.newaxis, tf.newaxis]
    distance = tf.abs((y - start[..., 1]) * axis[..., 0] - (x - start[..., 0]) * axis[..., 1])
    low, high = tf.minimum(start, end) - width, tf.maximum(start, end) + width
    in_box = (x >= low[..., 0]) & (x <= high[..., 0]) & (y >= low[..., 1]) & (y <= high[..., 1])
    return tf.cast(in_box & (distance < width), tf.float32)


def _bone_vectors(joints):
    return tf.gather(joints, BONES[:, 1], axis=1) - tf.gather(joints, BONES[:, 0], axis=1)
