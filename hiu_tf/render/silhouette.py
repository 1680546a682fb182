"""The differentiable mask of a hand mesh, for self-supervision (supplement 1.2).

Rasterise-then-splat (Cole et al., 2021; `tensorflow_graphics.rendering.splat`) with one opaque
layer needs no colours and no layers: alpha is the hard mask splatted by a 3x3 Gaussian, clipped at
1, and its gradient moves each covered pixel's surface sample, which carries it to the three
vertices of its triangle by the barycentric weights. Only pixels next to the outline carry gradient.
"""

import numpy as np
import tensorflow as tf

from hiu_tf.geometry.camera import project
from hiu_tf.render.rasterizer import rasterize

_OFFSETS = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]), axis=-1)  # [3, 3, (x, y)]
_WEIGHT = np.exp(-2.0 * (_OFFSETS**2).sum(axis=-1))
_WEIGHT *= 1.05 / _WEIGHT.sum()
#: d weight / d sample position, for a pixel at `offset` from the sample.
_SLOPE = 4.0 * _OFFSETS * _WEIGHT[..., np.newaxis]


def silhouette(vertices: tf.Tensor, faces, intrinsics, size: int, backend: str = "auto") -> tf.Tensor:
    """Draws the mask of each mesh, differentiable in its vertices.

    Args:
      vertices: [B, V, 3] metres, camera frame.
      faces: [F, 3] int32.
      intrinsics: K [3, 3] or [B, 3, 3] of a size x size picture.
      size: side of the mask in pixels.
      backend: see `rasterize`.

    Returns:
      [B, size, size] float32 in [0, 1].
    """
    vertices = tf.cast(vertices, tf.float32)
    points = project(vertices, intrinsics)
    return _splat(points, tf.stop_gradient(vertices[..., 2]), tf.convert_to_tensor(faces, tf.int32), size, backend)


def _splat(points, depth, faces, size, backend):
    buffer = rasterize(points, depth, faces, size, backend)
    covered = buffer.foreground_mask
    barycentrics, vertex_ids = buffer.barycentrics.value, buffer.vertex_ids

    @tf.custom_gradient
    def splat(points):
        kernel = tf.constant(_WEIGHT[..., np.newaxis, np.newaxis], tf.float32)
        spread = tf.nn.conv2d(covered, kernel, 1, "SAME")

        def gradient(upstream):
            # The sum over a sample's neighbours of upstream * slope, where alpha is not clipped.
            active = upstream[..., tf.newaxis] * tf.cast(spread < 1.0, tf.float32)
            slopes = tf.constant(_SLOPE[:, :, np.newaxis, :], tf.float32)
            return _scatter(
                tf.nn.conv2d(active, slopes, 1, "SAME") * covered, barycentrics, vertex_ids, tf.shape(points)
            )

        return tf.minimum(spread, 1.0)[..., 0], gradient

    return splat(points)


def _scatter(pixel_gradient, barycentrics, vertex_ids, shape):
    """Carries pixel gradients [B, H, W, 2] to vertices [B, V, 2] by barycentric weights."""
    where = tf.where(tf.reduce_any(pixel_gradient != 0.0, axis=-1))
    share = tf.gather_nd(barycentrics, where)[..., tf.newaxis] * tf.gather_nd(pixel_gradient, where)[:, tf.newaxis]
    batch = tf.cast(where[:, :1], tf.int32) * shape[1]
    flat = tf.math.unsorted_segment_sum(share, tf.gather_nd(vertex_ids, where) + batch, shape[0] * shape[1])
    return tf.reshape(flat, shape)
