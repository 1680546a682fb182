"""Second hands: other hands of the batch behind labelled ones, so that a network keeps to the hand in the middle."""

import math

import tensorflow as tf

#: Distance of the second hand's crop from the middle, and its size, relative to the crop's side.
_FAR, _SCALE = (0.35, 0.8), (0.7, 1.1)


def add_neighbours(image, mask, behind, mask_weight, probability, seed):
    """Draws the hand of the previous sample of the batch behind some hands: anywhere around them, also mirrored.

    Labels stay unchanged, for the second hand covers none of the first. Both need a mask: without its own one a hand would be
    covered, and pictures without a hand must not get one.

    Args:
      image, mask: [B, S, S, 3] and [B, S, S, 1].
      behind: [B, S, S, 1], 1 where another hand may be seen.
      mask_weight: [B], 0 where the mask is not known.
      probability: of hands that get a second one.
      seed: [2].
    """
    size, count = image.shape[1], image.shape[0] or tf.shape(image)[0]
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 5))
    uniform = lambda k, low, high: tf.random.stateless_uniform([count, 1], seeds[k], low, high)
    angle, far, scale = uniform(0, 0.0, 2 * math.pi), uniform(1, *_FAR), uniform(2, *_SCALE)
    middle = 0.5 + far * tf.concat([tf.sin(angle), tf.cos(angle)], axis=1)
    first, last = 0.5 - middle / scale, 0.5 + (1 - middle) / scale  # what the crop shows of the other hand's crop
    mirrored = (uniform(3, 0.0, 1.0) < 0.5) & tf.constant([False, True])
    first, last = tf.where(mirrored, 1 - first, first), tf.where(mirrored, 1 - last, last)
    others = tf.roll(tf.concat([image, mask], axis=-1), 1, axis=0)
    seen = tf.image.crop_and_resize(others, tf.concat([first, last], axis=1), tf.range(count), [size, size])
    known = (mask_weight > 0) & (tf.roll(mask_weight, 1, axis=0) > 0)
    chosen = known & (uniform(4, 0.0, 1.0)[:, 0] < probability)
    share = tf.cast(chosen, tf.float32)[:, None, None, None] * behind * seen[..., 3:]
    return image + share * (seen[..., :3] - image)
