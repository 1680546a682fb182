"""From a stored record to a crop around the hand: geometry and colour, in TensorFlow.

Geometry moves picture, mask, K, 2D and 3D joints and mesh together. Left hands are mirrored: from
here on every hand is a right one (see conventions). 3D ends up in the crop's virtual camera.
"""

from __future__ import annotations

import tensorflow as tf

from hiu_tf.config.schema import AugmentConfig
from hiu_tf.conventions import keys
from hiu_tf.geometry.camera import inplane_rotation, look_at_rotation, transform_intrinsics
from pipelines.schema import LEFT
from pipelines.warp import warp

#: Side of a crop without augmentation, relative to the box of the key points.
PLAIN_CROP = 1.5


def crop(record: dict, size: int, config: AugmentConfig | None, seed=None) -> dict:
    """Cuts out the hand; with a config at a random scale, angle and place, else plainly.

    Args:
      record: what `records.parse` gives for one sample.
      size: side S of the crop in pixels.
      config: strengths, or None for evaluation.
      seed: [2] int, needed with a config; equal seeds give equal crops.

    Returns:
      The record with image [S, S, 3] in [0, 1], mask [S, S, 1], joints and vertices moved into the
      crop, and weights of 2D joints outside the crop set to 0. intrinsics become the matrix P of the
      crop: pixels ~ P X for X in the virtual camera (P is K times a rotation, all zero if unknown).
    """
    picture = tf.cast(tf.io.decode_image(record[keys.IMAGE], channels=3, expand_animations=False), tf.float32)
    affine = _affine(record, tf.shape(picture)[1], size, config, seed)
    image = warp(picture, affine, size) / 255.0
    mask = tf.cond(
        record[keys.MASK_WEIGHT] > 0,
        lambda: warp(tf.cast(tf.io.decode_png(record[keys.MASK], channels=1), tf.float32), affine, size) / 255.0,
        lambda: tf.zeros([size, size, 1]),
    )
    moved = _move_labels(record, affine, size)
    return (
        record
        | moved
        | {keys.IMAGE: tf.ensure_shape(image, [size, size, 3]), keys.MASK: tf.ensure_shape(mask, [size, size, 1])}
    )


def recolour(sample: dict, config: AugmentConfig, seed) -> dict:
    """Changes what the light, the camera and the background do; labels stay."""
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 12))
    image = _new_background(sample, config, seeds[0], seeds[1])
    image = tf.image.stateless_random_brightness(image, config.brightness, seeds[2])
    image = tf.image.adjust_contrast(image, 1 + _uniform(seeds[3], (-config.contrast, config.contrast)))
    image = tf.image.adjust_saturation(
        tf.clip_by_value(image, 0, 1), 1 + _uniform(seeds[4], (-config.saturation, config.saturation))
    )
    image = tf.image.stateless_random_hue(image, config.hue, seeds[5])
    image = tf.clip_by_value(image, 1e-4, 1) ** _uniform(seeds[6], config.gamma)
    grey = tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image))
    image = tf.where(_chance(seeds[7], config.grey_probability), grey, image)
    image = tf.where(_chance(seeds[8], config.blur_probability), _blur(image), image)
    image += tf.random.stateless_normal(tf.shape(image), seeds[9]) * config.noise * _uniform(seeds[10], (0.0, 1.0))
    image = _cut_out(image, config.cutout_probability, seeds[11])
    return sample | {keys.IMAGE: tf.clip_by_value(image, 0.0, 1.0)}


def _affine(record, width, size, config, seed):
    """Similarity [3, 3] from the stored picture's pixels to the crop's, mirrored for a left hand."""
    mirrored = record[keys.SIDE] == LEFT
    width = tf.cast(width, tf.float32)
    mirror = tf.where(mirrored, [[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]], tf.eye(3))
    points = _apply(mirror, record[keys.JOINTS_2D])
    labelled = tf.boolean_mask(points, record[keys.JOINTS_2D_WEIGHT] > 0)
    low, high = tf.reduce_min(labelled, axis=0), tf.reduce_max(labelled, axis=0)
    centre, side = (low + high) / 2, tf.maximum(tf.reduce_max(high - low), 4.0)
    if config is None:
        return _similarity(centre, PLAIN_CROP * side, 0.0, size) @ mirror
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    angle = _uniform(seeds[0], (-config.rotation_deg, config.rotation_deg)) * (3.14159265 / 180)
    scale = _uniform(seeds[1], config.crop_scale)
    offset = tf.random.stateless_uniform([2], seeds[2], -config.translation, config.translation) * side * scale
    return _similarity(centre + offset, scale * side, angle, size) @ mirror


def _similarity(centre, side, angle, size):
    """Turns about `centre`, scales `side` to `size`, and puts centre in the middle of the crop."""
    a, b = tf.cos(angle) * size / side, tf.sin(angle) * size / side
    middle = 0.5 * (size - 1)
    x, y = centre[0], centre[1]
    return tf.stack(
        [tf.stack([a, -b, middle - a * x + b * y]), tf.stack([b, a, middle - b * x - a * y]), tf.constant([0.0, 0, 1])]
    )


def _move_labels(record, affine, size):
    joints_2d = _apply(affine, record[keys.JOINTS_2D])
    inside = tf.reduce_all((joints_2d >= 0) & (joints_2d <= size - 1), axis=-1)
    known = record[keys.INTRINSICS][0, 0] > 0
    intrinsics = tf.where(known, record[keys.INTRINSICS], tf.eye(3))
    mirrored = tf.linalg.det(affine[:2, :2]) < 0
    flip = tf.where(mirrored, tf.linalg.diag([-1.0, 1, 1]), tf.eye(3))
    # The mirror acts on the points, and what is left of the affine on a proper K.
    crop_camera = transform_intrinsics(affine, intrinsics @ flip)
    look = look_at_rotation(crop_camera, tf.fill([2], 0.5 * (size - 1.0)))
    turn = look @ inplane_rotation(affine @ flip) @ flip
    return {
        keys.JOINTS_2D: joints_2d,
        keys.JOINTS_2D_WEIGHT: record[keys.JOINTS_2D_WEIGHT] * tf.cast(inside, tf.float32),
        keys.JOINTS_3D: record[keys.JOINTS_3D] @ tf.transpose(turn),
        keys.VERTICES: record[keys.VERTICES] @ tf.transpose(turn),
        keys.INTRINSICS: tf.where(known, crop_camera @ tf.transpose(look), tf.zeros([3, 3])),
    }


def _new_background(sample, config, seed, chance_seed):
    """Random clouds behind the hand where its mask is known."""
    size = sample[keys.IMAGE].shape[0]
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
    clouds = 0.5 + 0.3 * tf.random.stateless_normal([1, 1, 3], seeds[0])
    for cells, amplitude, octave in ((3, 0.25, seeds[1]), (9, 0.15, seeds[2]), (33, 0.08, seeds[3])):
        grain = tf.random.stateless_normal([cells, cells, 3], octave, stddev=amplitude)
        clouds += tf.image.resize(grain, [size, size], method="bilinear")
    replace = _chance(chance_seed, config.background_probability) & (sample[keys.MASK_WEIGHT] > 0)
    mixed = sample[keys.IMAGE] * sample[keys.MASK] + tf.clip_by_value(clouds, 0, 1) * (1 - sample[keys.MASK])
    return tf.where(replace, mixed, sample[keys.IMAGE])


def _blur(image):
    size = image.shape[0]
    return tf.image.resize(tf.image.resize(image, [size // 2, size // 2], method="area"), [size, size])


def _cut_out(image, probability, seed):
    """One grey square of an eighth of the side."""
    size = image.shape[0]
    x, y, grey = tf.unstack(tf.random.stateless_uniform([3], seed))
    rows, columns = (tf.abs(tf.range(size, dtype=tf.float32) - size * v) < size / 16 for v in (y, x))
    square = (rows[:, tf.newaxis] & columns[tf.newaxis])[..., tf.newaxis]
    return tf.where(square & _chance(seed + 1, probability), grey, image)


def _apply(affine, points):
    return points @ tf.transpose(affine[:2, :2]) + affine[:2, 2]


def _uniform(seed, bounds):
    return tf.random.stateless_uniform([], seed, *map(float, bounds))


def _chance(seed, probability):
    return tf.random.stateless_uniform([], seed) < probability
