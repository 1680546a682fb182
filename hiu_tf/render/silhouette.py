"""The differentiable mask of a hand mesh, for self-supervision (supplement 1.2).

This is rasterise-then-splat (Cole et al., 2021; `tensorflow_graphics.rendering.splat`) for one opaque layer
without colours. Alpha is the hard mask splatted by a 3x3 Gaussian and clipped at 1. Its gradient with respect
to the surface sample of each covered pixel is distributed to the three vertices of the sample's triangle by the
barycentric weights. Only pixels next to the outline have a gradient.
"""

import math

import numpy as np
import tensorflow as tf

from hiu_tf.geometry.tensor.camera import project
from hiu_tf.render.rasterizer import nearest_surface

_SIDE = math.exp(-2.0)  # value of the Gaussian (variance 1/4) one pixel away
#: tensorflow-graphics' factor, by which nine full samples add up to a little more than 1, the clipping limit.
_SCALE = 1.05 / (1.0 + 2.0 * _SIDE) ** 2
_OFFSETS = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(9, 2)  # of the neighbours, (x, y)
#: d weight / d position of the sample, for a neighbouring pixel: [9, 2].
_SLOPE = (4.0 * _OFFSETS * (_SCALE * _SIDE ** (_OFFSETS**2).sum(axis=-1, keepdims=True))).astype(np.float32)


def silhouette(vertices: tf.Tensor, faces, intrinsics, size: int, backend: str = "auto") -> tf.Tensor:
    """Renders the mask of each mesh, differentiable with respect to its vertices.

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


def mask_pyramid(mask: tf.Tensor, levels: int) -> list[tf.Tensor]:
    """Pyramid by repeated blurring and halving: [B, S, S] -> [B, S, S], [B, S/2, S/2], ..., `levels` of them.

    The gradient of a mask exists only within a pixel of its outline, and does not help if the masks do not
    overlap. The squared difference of two blurred masks decreases as they approach each other, within the
    radius of the blur. Compare pyramids to attract masks that do not touch.
    """
    pyramid = [mask]
    for _ in range(levels - 1):
        mask = _three_by_three(_three_by_three(mask, 0.5) / 4.0, 0.5)[:, ::2, ::2] / 4.0
        pyramid.append(mask)
    return pyramid


def _splat(points, depth, faces, size, backend):
    triangle_id, barycentrics, covered = nearest_surface(points, depth, faces, size, backend)
    spread = _SCALE * _three_by_three(covered, _SIDE)

    @tf.custom_gradient
    def splat(points):
        def gradient(upstream):
            samples, slopes = _sample_gradients(upstream, spread, covered)
            weights = tf.gather_nd(barycentrics, samples)
            corners = tf.gather(faces, tf.gather_nd(triangle_id, samples))
            return _to_vertices(slopes, weights, corners, samples[:, :1], tf.shape(points))

        return tf.minimum(spread, 1.0), gradient

    return splat(points)


def _three_by_three(image, side):
    """Sum over the 3x3 neighbourhood with weights (side, 1, side) along each axis, zeros outside; [B, H, W]."""
    rows = tf.pad(image, [[0, 0], [1, 1], [0, 0]])
    image = side * (rows[:, :-2] + rows[:, 2:]) + image
    columns = tf.pad(image, [[0, 0], [0, 0], [1, 1]])
    return side * (columns[..., :-2] + columns[..., 2:]) + image


def _sample_gradients(upstream, spread, covered):
    """Covered pixels next to an unclipped pixel, [N, 3] (batch, y, x), and their gradient [N, 2] (x, y)."""
    size = upstream.shape[-1]
    unclipped = tf.cast(spread < 1.0, tf.float32)
    samples = tf.where(_three_by_three(unclipped, 1.0) * covered > 0.0)
    felt = tf.pad(upstream * unclipped, [[0, 0], [1, 1], [1, 1]])
    width = size + 2
    flat = (samples[:, 0] * width + samples[:, 1] + 1) * width + samples[:, 2] + 1
    around = flat[:, tf.newaxis] + (_OFFSETS[:, 1] * width + _OFFSETS[:, 0])
    return samples, tf.matmul(tf.gather(tf.reshape(felt, [-1]), around), _SLOPE)


def _to_vertices(slopes, weights, corners, batch, shape):
    """Distributes the gradients [N, 2] of samples to the corners [N, 3] of their triangles: [B, V, 2]."""
    share = weights[..., tf.newaxis] * slopes[:, tf.newaxis]
    flat = corners + tf.cast(batch, tf.int32) * shape[1]
    return tf.reshape(tf.math.unsorted_segment_sum(share, flat, shape[0] * shape[1]), shape)
