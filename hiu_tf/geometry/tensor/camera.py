"""Pinhole cameras for batches: projection, and transformation with a crop. TensorFlow twin of geometry/camera.py.

Pixels: (0, 0) is the centre of the first pixel. Camera frame: x right, y down, z forward, metres.
"""

import tensorflow as tf

from hiu_tf.geometry.camera import MIN_DEPTH


def project(points: tf.Tensor, intrinsics) -> tf.Tensor:
    """Camera-frame points [..., N, 3] and K [..., 3, 3] (broadcast) -> pixels [..., N, 2].

    Points nearer than MIN_DEPTH are projected as if they were at MIN_DEPTH.
    """
    # Each coordinate by itself: products with matrices of 2x2 and their gradients take twice the time.
    x, y, z = tf.unstack(points, axis=-1)
    z = tf.maximum(z, MIN_DEPTH)
    x, y = x / z, y / z
    k = lambda row, column: intrinsics[..., row, column, tf.newaxis]
    pixels = [x * k(row, 0) + y * k(row, 1) + k(row, 2) for row in (0, 1)]
    return tf.stack(pixels, axis=-1)


def transform_intrinsics(affine, intrinsics):
    """K after the picture was transformed by the similarity `affine` [..., 3, 3] (pixels -> pixels).

    Valid for equal focal lengths, which every data set of the paper has to within a pixel. The
    rotation of the similarity is applied to the 3D points instead (see `inplane_rotation`), so that
    the result is an upright camera again.
    """
    moved = tf.linalg.matmul(affine, intrinsics)
    focal = tf.sqrt(tf.abs(tf.linalg.det(moved[..., :2, :2])))
    zero, one = tf.zeros_like(focal), tf.ones_like(focal)
    rows = [focal, zero, moved[..., 0, 2], zero, focal, moved[..., 1, 2], zero, zero, one]
    return tf.reshape(tf.stack(rows, axis=-1), tf.shape(moved))


def inplane_rotation(affine):
    """The rotation of 3D points about the optical axis [..., 3, 3] that corresponds to a similarity of the picture."""
    scale = tf.sqrt(tf.abs(tf.linalg.det(affine[..., :2, :2])))[..., tf.newaxis, tf.newaxis]
    rotation = affine[..., :2, :2] / scale
    padded = tf.pad(rotation, [[0, 0]] * (len(affine.shape) - 2) + [[0, 1], [0, 1]])
    return padded + tf.constant([[0, 0, 0], [0, 0, 0], [0, 0, 1.0]])


def look_at_rotation(intrinsics, pixel):
    """The smallest rotation [..., 3, 3] that turns the ray through `pixel` [..., 2] onto the optical axis (no roll).

    It converts 3D labels from the real camera to the virtual camera of a crop.
    """
    centre = tf.stack([intrinsics[..., 0, 2], intrinsics[..., 1, 2]], axis=-1)
    focal = tf.stack([intrinsics[..., 0, 0], intrinsics[..., 1, 1]], axis=-1)
    xy = (pixel - centre) / focal
    ray = tf.linalg.l2_normalize(tf.concat([xy, tf.ones_like(xy[..., :1])], axis=-1), axis=-1)
    x, y, z = tf.unstack(ray, axis=-1)
    # Rotation from ray to (0, 0, 1): I + [v] + [v]^2 / (1 + z), v = ray x (0, 0, 1) = (y, -x, 0).
    k = 1 / (1 + z)
    rows = [1 - k * x * x, -k * x * y, -x, -k * x * y, 1 - k * y * y, -y, x, y, z]
    return tf.reshape(tf.stack(rows, axis=-1), tf.concat([tf.shape(ray), [3]], axis=0))
