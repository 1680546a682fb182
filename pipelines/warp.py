"""Moves pictures by a similarity, with tensorflow-addons' image transform."""

import warnings

import tensorflow as tf

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # the end-of-life notice of tensorflow-addons
    from tensorflow_addons.image import transform


def warp(picture: tf.Tensor, affine: tf.Tensor, size: int, fill: float = 0.0) -> tf.Tensor:
    """Draws picture [H, W, C] where `affine` [3, 3] (its pixels -> crop pixels) puts it, [size, size, C].

    Where the picture is shrunk by more than 1.5 it is averaged first, so that nothing aliases.
    """
    scale = tf.sqrt(tf.abs(tf.linalg.det(affine[:2, :2])))
    steps = tf.cast(tf.clip_by_value(tf.math.floor(1.0 / tf.maximum(scale, 1e-3) / 1.5), 1.0, 16.0), tf.int32)
    height, width = tf.unstack(tf.shape(picture)[:2])
    small = tf.maximum(tf.stack([height, width]) // steps, 1)
    picture = tf.cond(
        steps > 1, lambda: tf.image.resize(picture, small, method="area"), lambda: tf.cast(picture, tf.float32)
    )
    ratio = tf.cast(tf.stack([width, height]), tf.float32) / tf.cast(small[::-1], tf.float32)
    ratio = tf.where(steps > 1, ratio, tf.ones_like(ratio))
    # Pixel centres of the shrunk picture -> of the whole one: x = (x' + 0.5) * ratio - 0.5.
    grow = tf.linalg.diag(tf.concat([ratio, [1.0]], axis=0)) + _column(tf.concat([0.5 * ratio - 0.5, [0.0]], axis=0))
    inverse = tf.linalg.inv(affine @ grow)
    return transform(
        picture, tf.reshape(inverse, [9])[:8], "BILINEAR", "CONSTANT", output_shape=(size, size), fill_value=fill
    )


def _column(values):
    return tf.concat([tf.zeros([3, 2]), values[:, tf.newaxis]], axis=1)
