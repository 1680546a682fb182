"""Part orientation fields (POF): for each bone, its direction in the picture and in depth.

Both encodings hold a vector from parent to child on a band around the bone, and 0 elsewhere:

- "paper" (docs/paper.md): (u_x, u_y, w_z) with u the unit 2D direction of the projected bone and w its
  unit 3D direction. With 2D labels alone, two of the three numbers have exact targets.
- "xiang" (Monocular Total Capture, docs/paper.md): w itself. With 2D labels alone the target is
  (u_x, u_y), and the loss compares it with the predicted (x, y) scaled to length 1.
"""

import tensorflow as tf

from hiu_tf.codecs.heatmap import to_map
from hiu_tf.conventions.skeleton import BONES, NUM_BONES

#: Half the width of the band, in pixels of a 128-pixel map (docs/paper.md).
BAND_AT_128 = 24 * 128 / 368


def encode(
    joints_2d: tf.Tensor, joints_3d: tf.Tensor, crop_size: int, map_size: int, encoding: str = "paper", flat_only=None
) -> tf.Tensor:
    """Encodes joints [B, 21, 2] (crop pixels) and [B, 21, 3] as a field [B, map, map, 60], bone-major.

    Args:
      flat_only: [B, 20], 1 for bones with 2D labels alone; for the encoding "xiang".
    """
    direction = directions(joints_2d, joints_3d, encoding)
    if flat_only is not None:
        direction = tf.where(flat_only[..., tf.newaxis] > 0, directions(joints_2d, joints_3d), direction)
    # Puts each bone's vector into its own three channels, so that one matrix product per picture fills all bands.
    channels = tf.reshape(tf.eye(NUM_BONES)[..., tf.newaxis] * direction[:, tf.newaxis], [-1, NUM_BONES, NUM_BONES * 3])
    inside = bands(to_map(joints_2d, crop_size, map_size), map_size)
    field = tf.reshape(inside, [-1, map_size * map_size, NUM_BONES]) @ channels
    return tf.reshape(field, [-1, map_size, map_size, NUM_BONES * 3])


def weights(joints_2d_weight: tf.Tensor, joints_3d_weight: tf.Tensor) -> tf.Tensor:
    """Weights [B, 60]: x and y need labels of both joints in 2D or 3D; z needs both in 3D."""
    flat, deep = _known_bones(joints_2d_weight, joints_3d_weight)
    return tf.reshape(tf.stack([flat, flat, deep], axis=-1), [-1, NUM_BONES * 3])


def only_flat(joints_2d_weight: tf.Tensor, joints_3d_weight: tf.Tensor) -> tf.Tensor:
    """1 for each bone whose joints are both labelled, but not both in 3D, [B, 20]."""
    flat, deep = _known_bones(joints_2d_weight, joints_3d_weight)
    return tf.cast((flat > 0) & (deep <= 0), tf.float32)


def scale_flat(field: tf.Tensor, target: tf.Tensor, flat_only: tf.Tensor) -> tf.Tensor:
    """Scales the predicted (x, y) to length 1 on the bands of bones with 2D labels alone (encoding "xiang")."""
    shape = tf.concat([tf.shape(field)[:-1], [NUM_BONES, 3]], axis=0)
    vectors = tf.reshape(field, shape)
    on_band = tf.reduce_any(tf.reshape(target, shape) != 0, axis=-1, keepdims=True)
    length = tf.sqrt(tf.reduce_sum(tf.square(vectors[..., :2]), axis=-1, keepdims=True) + 1e-8)
    scale = tf.where(on_band & (flat_only[:, tf.newaxis, tf.newaxis, :, tf.newaxis] > 0), 1 / length, 1.0)
    return tf.reshape(vectors * scale, tf.shape(field))


def decode(field: tf.Tensor, joints_2d: tf.Tensor, crop_size: int) -> tf.Tensor:
    """Decodes a field [B, H, H, 60] to one vector per bone [B, 20, 3]: the mean over the bone's band."""
    size = field.shape[1]
    band = bands(to_map(joints_2d, crop_size, size), size)
    vectors = tf.reshape(field, [-1, size, size, NUM_BONES, 3])
    mass = tf.reduce_sum(band, axis=[1, 2])[..., tf.newaxis] + 1e-6
    return tf.einsum("bhwn,bhwnc->bnc", band, vectors) / mass


def directions(joints_2d, joints_3d, encoding: str = "paper"):
    """Vector of each bone in the given encoding, [B, 20, 3]."""
    deep = _bone_vectors(joints_3d)
    w = deep / tf.maximum(tf.norm(deep, axis=-1, keepdims=True), 1e-6)
    if encoding == "xiang":
        return w
    flat = _bone_vectors(joints_2d)
    u = flat / tf.maximum(tf.norm(flat, axis=-1, keepdims=True), 1e-6)
    return tf.concat([u, w[..., 2:]], axis=-1)


def bands(points, size):
    """Bands of the bones: 1 near a bone's line and inside its padded bounding box, else 0; [B, 21, 2] -> [B, H, H, 20].

    The distance to a line is a term in x plus a term in y, so that only the sum and the comparison are
    computed per pixel.
    """
    width = BAND_AT_128 * size / 128
    start, end = (tf.gather(points, BONES[:, k], axis=1) for k in (0, 1))
    axis = (end - start) / tf.maximum(tf.norm(end - start, axis=-1, keepdims=True), 1e-6)
    low, high = tf.minimum(start, end) - width, tf.maximum(start, end) + width
    grid = tf.range(size, dtype=tf.float32)[tf.newaxis, :, tf.newaxis, tf.newaxis]
    offset = (grid - start[:, tf.newaxis]) * axis[:, tf.newaxis, :, ::-1]  # (x, y) terms [B, H, 20, 2]
    outside = tf.cast((grid < low[:, tf.newaxis]) | (grid > high[:, tf.newaxis]), tf.float32) * 4.0 * size
    x, y = offset[..., 0] + outside[..., 0], offset[..., 1]
    far = outside[..., 1][:, :, tf.newaxis]
    distance = tf.abs(y[:, :, tf.newaxis] - x[:, tf.newaxis]) + far
    return tf.cast(distance < width, tf.float32)


def _known_bones(joints_2d_weight, joints_3d_weight):
    """Weights of bones [B, 20]: of both joints in 2D or 3D, and of both in 3D."""
    return _both_ends(tf.maximum(joints_2d_weight, joints_3d_weight)), _both_ends(joints_3d_weight)


def _both_ends(weight):
    return tf.reduce_min(tf.gather(weight, BONES, axis=1), axis=-1)


def _bone_vectors(joints):
    return tf.gather(joints, BONES[:, 1], axis=1) - tf.gather(joints, BONES[:, 0], axis=1)
