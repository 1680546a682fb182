"""The 3x3 splat of masks and its gradient to the vertices: operations in C++ (splat.cc), or their twins in TensorFlow.

A mask of covered pixels is spread by a 3x3 Gaussian of variance 1/4 and clipped at 1. The sample of a covered pixel
moves with the triangle that covers it: its gradient is distributed to the three vertices by the barycentric weights.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import tensorflow as tf

from hiu_tf import compiled

_SIDE = math.exp(-2.0)  # value of the Gaussian one pixel away
#: tensorflow-graphics' factor, by which nine full samples add up to a little more than 1, the clipping limit.
_SCALE = 1.05 / (1.0 + 2.0 * _SIDE) ** 2
_OFFSETS = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(9, 2)  # of the neighbours, (x, y)
#: d weight / d position of the sample, for a neighbouring pixel: [9, 2].
_SLOPE = (4.0 * _OFFSETS * (_SCALE * _SIDE ** (_OFFSETS**2).sum(axis=-1, keepdims=True))).astype(np.float32)


def splat(points: tf.Tensor, surface: tuple, faces: tf.Tensor, backend: str = "auto") -> tf.Tensor:
    """Splats covered pixels, differentiably with respect to the projected vertices.

    Args:
      points: [B, V, 2] projected vertices, pixels.
      surface: triangle [B, S, S] int32, barycentrics [B, S, S, 3] and covered [B, S, S] of each pixel
        (`rasterizer.nearest_surface`).
      faces: [F, 3] int32.
      backend: "kernel" (C++), "tensor" (TensorFlow operations) or "auto".

    Returns:
      [B, S, S] float32 in [0, 1]. Only covered pixels next to one below 1 have a gradient; there is no second derivative.

    Raises:
      ValueError: the kernel was requested and cannot be built.
    """
    operations = None if backend == "tensor" else _operations()
    if backend == "kernel" and operations is None:
        raise ValueError("the kernel of the splat cannot be built here: is there a C++ compiler?")
    triangle, barycentrics, covered = surface
    if operations is None:
        spread = _SCALE * three_by_three(covered, _SIDE)
    else:
        spread = operations.hiu_splat(covered, side=_SIDE, scale=_SCALE)

    @tf.custom_gradient
    def of_points(points):
        def gradient(upstream):
            if operations is None:
                return _gradient(upstream, spread, surface, faces, tf.shape(points))
            count = tf.shape(points)[1]
            return operations.hiu_splat_gradient(
                upstream, spread, covered, triangle, barycentrics, faces, count, side=_SIDE, scale=_SCALE
            )

        return tf.minimum(spread, 1.0), gradient

    return of_points(points)


def three_by_three(image, side):
    """Sum over the 3x3 neighbourhood with weights (side, 1, side) along each axis, zeros outside; [B, H, W]."""
    rows = tf.pad(image, [[0, 0], [1, 1], [0, 0]])
    image = side * (rows[:, :-2] + rows[:, 2:]) + image
    columns = tf.pad(image, [[0, 0], [0, 0], [1, 1]])
    return side * (columns[..., :-2] + columns[..., 2:]) + image


@lru_cache(maxsize=1)
def _operations():
    """The module of splat.cc, or None where it cannot be built."""
    return compiled.load_operations("splat", "the splat of masks", [Path(__file__).with_suffix(".cc")])


def _gradient(upstream, spread, surface, faces, shape):
    triangle, barycentrics, covered = surface
    samples, slopes = _sample_gradients(upstream, spread, covered)
    share = tf.gather_nd(barycentrics, samples)[..., tf.newaxis] * slopes[:, tf.newaxis]
    corners = tf.gather(faces, tf.gather_nd(triangle, samples)) + tf.cast(samples[:, :1], tf.int32) * shape[1]
    return tf.reshape(tf.math.unsorted_segment_sum(share, corners, shape[0] * shape[1]), shape)


def _sample_gradients(upstream, spread, covered):
    """Covered pixels next to an unclipped pixel, [N, 3] (batch, y, x), and their gradient [N, 2] (x, y)."""
    unclipped = tf.cast(spread < 1.0, tf.float32)
    samples = tf.where(three_by_three(unclipped, 1.0) * covered > 0.0)
    felt = tf.pad(upstream * unclipped, [[0, 0], [1, 1], [1, 1]])
    width = upstream.shape[-1] + 2
    flat = (samples[:, 0] * width + samples[:, 1] + 1) * width + samples[:, 2] + 1
    around = flat[:, tf.newaxis] + (_OFFSETS[:, 1] * width + _OFFSETS[:, 0])
    return samples, tf.matmul(tf.gather(tf.reshape(felt, [-1]), around), _SLOPE)
