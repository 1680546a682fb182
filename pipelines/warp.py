"""Cuts a crop out of a picture by a similarity, with tensorflow-addons' image transform."""

import warnings

import tensorflow as tf

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # the end-of-life notice of tensorflow-addons
    from tensorflow_addons.image import transform


def cut(picture: tf.Tensor, affine: tf.Tensor, size: int) -> tf.Tensor:
    """Warps picture [H, W, C] by `affine` [3, 3] (picture pixels -> crop pixels) to a crop [size, size, C] uint8.

    A picture that shrinks by more than 1.5 is averaged first, to avoid aliasing. The crop is black outside
    of the picture.
    """
    shrink = tf.sqrt(tf.abs(tf.linalg.det(affine[:2, :2])))
    steps = tf.cast(tf.clip_by_value(tf.math.floor(1.0 / tf.maximum(shrink, 1e-3) / 1.5), 1.0, 16.0), tf.int32)
    picture, affine = tf.cond(steps > 1, lambda: _average(picture, affine, steps), lambda: (picture, affine))
    inverse = tf.reshape(tf.linalg.inv(affine), [9])[:8]
    cropped = transform(picture, inverse, "BILINEAR", "CONSTANT", output_shape=(size, size))
    return tf.ensure_shape(cropped, [size, size, picture.shape[-1]])


def _average(picture, affine, steps):
    """Shrinks the picture by averaging to 1 / steps of its size. Returns it and the adapted affine."""
    whole = tf.shape(picture)[:2]
    small = tf.maximum(whole // steps, 1)
    ratio = tf.cast(whole[::-1], tf.float32) / tf.cast(small[::-1], tf.float32)
    # Pixel centres of the shrunk picture -> of the whole one: x = (x' + 0.5) * ratio - 0.5.
    zero, one = tf.zeros([]), tf.ones([])
    offset = 0.5 * ratio - 0.5
    grow = tf.reshape(tf.stack([ratio[0], zero, offset[0], zero, ratio[1], offset[1], zero, zero, one]), [3, 3])
    shrunk = tf.image.resize(picture, small, method="area")
    return tf.cast(tf.round(shrunk), tf.uint8), affine @ grow
