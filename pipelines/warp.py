"""Cuts crops out of encoded pictures and masks by similarities.

What can be computed for a whole batch is: a picture by itself is only decoded and sampled, by an operation of ours in C++
(warp.cc). Where there is no compiler, tensorflow-addons' resampler replaces it; crops differ by at most 1 of 255.
"""

import warnings
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # the end-of-life notice of tensorflow-addons
    from tensorflow_addons.image.resampler_ops import resampler
    from tensorflow_addons.register import register_custom_kernels

from hiu_tf import compiled

_JPEG = b"\xff\xd8\xff"  # first bytes
_JPEG_RATIOS = (1, 2, 4, 8)  # by which a JPEG can be shrunk while it is decoded
_MOST_STEPS = 16
_MARGIN = 2  # pixels around the part of a picture that a crop needs
_AT_ONCE = 16  # pictures of a batch that are decoded in parallel


def load_operations() -> None:
    """Loads both samplers. Needed in a process that runs `cut` as a graph that another one has built."""
    register_custom_kernels()
    warp_operation()


@lru_cache(maxsize=1)
def warp_operation():
    """The operation `hiu_warp`, or None where it cannot be built."""
    operations = compiled.load_operations("warp", "the warp of pictures", [Path(__file__).with_suffix(".cc")])
    return operations and operations.hiu_warp


class _Plan(NamedTuple):
    """How to read and sample each picture of a batch."""

    ratio: tf.Tensor  # [B], number of the _JPEG_RATIOS by which it is decoded
    extent: tf.Tensor  # [B, 2], height and width of the whole picture, rounded up as JPEG does for its ratio
    small: tf.Tensor  # [B, 2], height and width to which it is averaged
    shown: tf.Tensor  # [B, 4] int32, first and last pixel (x, y, x, y) of the averaged picture that may be shown
    inverse: tf.Tensor  # [B, 3, 2], crop pixels (x, y, 1) -> pixels of the averaged picture


def cut(pictures, masks, sizes, affine, frame, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes pictures and masks of a batch and warps them, bilinearly, to crops.

    A picture that shrinks by a factor of 3 or more is averaged first, to avoid aliasing; a JPEG is decoded at a
    reduced size. Crops are black outside of the picture's frame.

    Args:
      pictures: [B] encoded JPEG or PNG.
      masks: [B] encoded PNG of the picture's size, or "".
      sizes: [B, 2] int64, height and width of the pictures.
      affine: [B, 3, 3] float32, picture pixels -> crop pixels.
      frame: [B, 4] float32, first and last pixel (x, y, x, y) of the part of the picture that may be shown.
      size: side S of the crops in pixels.

    Returns:
      uint8 [B, S, S, 3] and [B, S, S, 1]; the latter 0 without a mask.
    """

    def one(batch):
        picture, mask, plan = batch
        crop = _sample(_decode(picture, plan.ratio), plan, size)
        in_crop = lambda: _sample(_extended(tf.io.decode_png(mask, channels=1), plan.extent), plan, size)
        return crop, tf.cond(tf.strings.length(mask) > 0, in_crop, lambda: tf.zeros([size, size, 1], tf.uint8))

    shapes = tuple(tf.TensorSpec([size, size, channels], tf.uint8) for channels in (3, 1))
    batch = (pictures, masks, _plan(pictures, tf.cast(sizes, tf.int32), affine, frame, size))
    return tf.map_fn(one, batch, fn_output_signature=shapes, parallel_iterations=_AT_ONCE)


def _plan(pictures, whole, affine, frame, size):
    shrink = tf.sqrt(tf.abs(tf.linalg.det(affine[:, :2, :2])))
    steps = tf.math.floor(1.0 / tf.maximum(shrink, 1e-3) / 1.5)
    steps = tf.cast(tf.clip_by_value(steps, 1.0, float(_MOST_STEPS)), tf.int32)
    is_jpeg = tf.strings.substr(pictures, 0, len(_JPEG)) == _JPEG
    number = tf.reduce_sum(tf.cast(steps[:, tf.newaxis] >= _JPEG_RATIOS, tf.int32), axis=1) - 1
    number = tf.where(is_jpeg, number, 0)
    ratio, steps = tf.gather(_JPEG_RATIOS, number)[:, tf.newaxis], steps[:, tf.newaxis]
    decoded = -(-whole // ratio)
    small = tf.where(steps > ratio, tf.maximum(whole // steps, 1), decoded)
    extent = decoded * ratio
    shrunk = _shrunk(extent / small)
    inverse = shrunk @ tf.linalg.inv(affine)
    frame = tf.linalg.matmul(tf.reshape(frame, [-1, 2, 2]), shrunk[:, :2, :2]) + shrunk[:, tf.newaxis, :2, 2]
    first, last = tf.unstack(tf.cast(tf.round(frame), tf.int32), axis=1)
    last = tf.minimum(last, small[:, ::-1] - 1)
    first = tf.clip_by_value(first, 0, last)
    return _Plan(number, extent, small, tf.concat([first, last], axis=1), tf.transpose(inverse[:, :2], [0, 2, 1]))


def _shrunk(ratio):
    """Affine [B, 3, 3] of pixel centres, whole picture -> small one: x' = (x + 0.5) / ratio - 0.5; ratio [B, 2]: y, x."""
    scale = 1.0 / tf.cast(ratio[:, ::-1], tf.float32)
    linear = tf.linalg.diag(tf.pad(scale, [[0, 0], [0, 1]], constant_values=1.0))
    return linear + tf.pad((0.5 * scale - 0.5)[:, :, tf.newaxis], [[0, 0], [0, 1], [2, 0]])


def _decode(picture, number):
    """Pixels [H, W, 3] uint8 of a picture; of a JPEG, shrunk by one of the ratios."""
    whole = lambda: tf.io.decode_image(picture, channels=3, expand_animations=False)
    smaller = [lambda ratio=ratio: tf.io.decode_jpeg(picture, channels=3, ratio=ratio) for ratio in _JPEG_RATIOS[1:]]
    return tf.ensure_shape(tf.switch_case(number, [whole, *smaller]), [None, None, 3])


def _extended(mask, extent):
    """The mask with its last row and column repeated, as a JPEG encoder does with the picture."""
    index = [tf.minimum(tf.range(extent[axis]), tf.shape(mask)[axis] - 1) for axis in (0, 1)]
    repeated = lambda: tf.gather(tf.gather(mask, index[0], axis=0), index[1], axis=1)
    return tf.cond(tf.reduce_all(tf.shape(mask)[:2] == extent), lambda: mask, repeated)


def _sample(pixels, plan, size):
    """Averages pixels [H, W, C] uint8 to the plan's size and warps them to a crop: uint8 [S, S, C]."""
    averaged = lambda: tf.cast(tf.round(tf.image.resize(pixels, plan.small, method="area")), tf.uint8)
    pixels = tf.cond(tf.reduce_all(tf.shape(pixels)[:2] == plan.small), lambda: pixels, averaged)
    warp = warp_operation() or _resample
    return tf.ensure_shape(warp(pixels, plan.inverse, plan.shown, size=size), [size, size, pixels.shape[-1]])


def _resample(pixels, inverse, shown, size):
    """The twin of `hiu_warp` of tensorflow-addons' resampler."""
    grid = np.stack([*np.meshgrid(np.arange(size), np.arange(size)), np.ones([size, size])], axis=-1)
    where = tf.constant(grid.reshape(-1, 3), tf.float32) @ inverse
    # Of large pictures only the part that the crop needs is converted to float32.
    first, last = shown[:2], shown[2:]
    low = tf.clip_by_value(tf.cast(tf.floor(tf.reduce_min(where, axis=0)), tf.int32) - _MARGIN, first, last)
    high = tf.clip_by_value(tf.cast(tf.reduce_max(where, axis=0), tf.int32) + _MARGIN, low, last)
    part = tf.cast(pixels[low[1] : high[1] + 1, low[0] : high[0] + 1], tf.float32)
    where = tf.reshape(where - tf.cast(low, tf.float32), [1, size, size, 2])
    return tf.cast(resampler(part[tf.newaxis], where)[0] + 0.5, tf.uint8)
