"""Colour augmentation: effects of light, camera and background, second hands. Labels stay unchanged.

Works on whole batches. Saturation, hue, grey, channel order, contrast and brightness are all linear in
the colour, so that one matrix per picture applies them together.
"""

import math

import tensorflow as tf

from hiu_tf.config.schema import AugmentConfig
from hiu_tf.conventions import keys
from pipelines.neighbours import add_neighbours

_LUMA = (0.299, 0.587, 0.114)
_PERMUTATIONS = [[[float(c == p) for c in range(3)] for p in order] for order in
                 ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))]  # fmt: skip


def recolour(batch: dict, config: AugmentConfig, seed) -> dict:
    """Augments the colours of a batch: image [B, S, S, 3] in [0, 1]; equal seeds [2] give equal pictures.

    New backgrounds are the batch's own (keys.BACKGROUND [B, S, S, 3] in [0, 1]), if it has any, otherwise clouds.
    They end where the pictures do (keys.IN_PICTURE).
    """
    *seeds, neighbour_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 8))
    seeds = iter(seeds)
    image = batch[keys.IMAGE]
    behind = batch.get(keys.IN_PICTURE, 1.0) * (1 - batch[keys.MASK])
    image = new_background(
        image, behind, batch[keys.MASK_WEIGHT], config.background_probability, next(seeds), batch.get(keys.BACKGROUND)
    )
    if config.neighbour_probability:
        image = add_neighbours(
            image, batch[keys.MASK], behind, batch[keys.MASK_WEIGHT], config.neighbour_probability, neighbour_seed
        )
    image = tf.clip_by_value(change_colours(image, config, next(seeds)), 1e-4, 1.0)
    image = change_gamma(image, config.gamma, next(seeds))
    image = blur(image, config.blur_probability, config.blur_factor, next(seeds))
    image = add_noise(image, config.noise, next(seeds))
    image = cut_out(image, config.cutout_probability, config.cutout_side, next(seeds))
    return batch | {keys.IMAGE: tf.clip_by_value(image, 0.0, 1.0)}


def change_colours(image, config: AugmentConfig, seed):
    """Changes channel order, hue, saturation, grey, then contrast about the mean colour, then brightness."""
    seeds = iter(tf.unstack(tf.random.experimental.stateless_split(seed, 7)))
    count = tf.shape(image)[0]
    order = tf.random.stateless_uniform([count], next(seeds), 0, len(_PERMUTATIONS), tf.int32)
    shuffled = _chance(count, next(seeds), config.shuffle_probability)
    matrix = tf.gather(tf.constant(_PERMUTATIONS), tf.where(shuffled, order, 0))
    matrix = _hue(_uniform(count, next(seeds), -config.hue, config.hue)) @ matrix
    saturation = 1 + _uniform(count, next(seeds), -config.saturation, config.saturation)
    saturation = tf.where(_chance(count, next(seeds), config.grey_probability), 0.0, saturation)[:, None, None]
    matrix = (saturation * tf.eye(3) + (1 - saturation) * tf.constant([_LUMA] * 3)) @ matrix
    contrast = (1 + _uniform(count, next(seeds), -config.contrast, config.contrast))[:, None, None]
    brightness = _uniform(count, next(seeds), -config.brightness, config.brightness)[:, None, None]
    mean = tf.linalg.matvec(matrix, tf.reduce_mean(image, axis=[1, 2]))[:, None]
    size = image.shape[1]
    flat = tf.reshape(image, [-1, size * size, 3])
    mixed = tf.linalg.matmul(flat, contrast * matrix, transpose_b=True) + (1 - contrast) * mean + brightness
    return tf.reshape(mixed, [-1, size, size, 3])


def change_gamma(image, bounds, seed):
    """image ** gamma; image must be above 0."""
    gamma = _uniform(tf.shape(image)[0], seed, *bounds)[:, None, None, None]
    return tf.exp(gamma * tf.math.log(image))


def new_background(image, behind, mask_weight, probability, seed, pictures=None):
    """Puts `pictures` [B, S, S, 3], or random clouds, behind hands with a known mask: where `behind` [B, S, S, 1] is 1."""
    size, count = image.shape[1], tf.shape(image)[0]
    *clouds_seeds, chance_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 5))
    pictures = _clouds(count, size, clouds_seeds) if pictures is None else pictures
    replace = _chance(count, chance_seed, probability) & (mask_weight > 0)
    share = tf.cast(replace, tf.float32)[:, None, None, None] * behind
    return image + share * (pictures - image)


def _clouds(count, size, seeds):
    """Random clouds of three sizes, [count, size, size, 3] in [0, 1], from four seeds."""
    colour_seed, *octaves = seeds
    clouds = 0.5 + 0.3 * tf.random.stateless_normal([count, 1, 1, 3], colour_seed)
    for cells, amplitude, octave in zip((3, 9, 33), (0.25, 0.15, 0.08), octaves):
        grain = tf.random.stateless_normal([count, cells, cells, 3], octave, stddev=amplitude)
        clouds = grain + tf.image.resize(clouds, [cells, cells])
    return tf.clip_by_value(tf.image.resize(clouds, [size, size]), 0.0, 1.0)


def blur(image, probability, factors, seed):
    """Blurs some pictures: shrinks them by a factor, which is the same for the whole batch, and enlarges them again."""
    size = image.shape[1]
    chance_seed, factor_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    factor = tf.random.stateless_uniform([], factor_seed, *map(float, factors))
    chosen = tf.where(_chance(tf.shape(image)[0], chance_seed, probability))
    small = tf.cast(tf.round(size / factor), tf.int32)
    few = tf.image.resize(tf.gather_nd(image, chosen), [small, small], antialias=True)
    return tf.tensor_scatter_nd_update(image, chosen, tf.image.resize(few, [size, size]))


def add_noise(image, most, seed):
    """Adds uniform noise; its standard deviation is drawn from [0, most] for each picture.

    All pictures of a batch share one noise field with different strengths and signs, because drawing it is expensive.
    """
    field_seed, strength_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    field = tf.random.stateless_uniform(image.shape[1:], field_seed, -math.sqrt(3), math.sqrt(3))
    return image + _uniform(tf.shape(image)[0], strength_seed, -most, most)[:, None, None, None] * field


def cut_out(image, probability, sides, seed):
    """Puts one grey square on some pictures; its side is between two shares of the crop's side."""
    size, count = image.shape[1], tf.shape(image)[0]
    value_seed, chance_seed, side_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    x, y, grey = tf.unstack(tf.random.stateless_uniform([3, count, 1], value_seed))
    half = 0.5 * size * tf.random.stateless_uniform([count, 1], side_seed, *map(float, sides))
    grid = tf.range(size, dtype=tf.float32)
    columns, rows = (tf.abs(grid - size * middle) < half for middle in (x, y))
    square = rows[:, :, None] & columns[:, None] & _chance(count, chance_seed, probability)[:, None, None]
    return tf.where(square[..., None], grey[..., None, None], image)


def _hue(turns):
    """Rotation of the colours about the grey axis by a share of a full turn, [B, 3, 3]."""
    angle = 2 * math.pi * turns[:, None, None]
    axis = tf.constant([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    return tf.cos(angle) * tf.eye(3) + tf.sin(angle) * axis + (1 - tf.cos(angle)) * tf.fill([3, 3], 1 / 3)


def _uniform(count, seed, low, high):
    return tf.random.stateless_uniform([count], seed, float(low), float(high))


def _chance(count, seed, probability):
    return tf.random.stateless_uniform([count], seed) < probability
