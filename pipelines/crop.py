"""Geometric augmentation: a square crop around the hand, at a random angle, scale and position.

Picture, mask, K, 2D and 3D joints and mesh are transformed together. Left hands are mirrored: from here
on every hand is a right one (see conventions). 3D labels are converted to the crop's virtual camera.
Everything except the pixels is computed for a whole batch at once.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from hiu_tf.config.schema import AugmentConfig
from hiu_tf.conventions import keys
from hiu_tf.geometry.camera import MIN_DEPTH
from hiu_tf.geometry.tensor.camera import inplane_rotation, look_at_rotation, transform_intrinsics
from hiu_tf.geometry.tensor.window import around_boxes, similarity
from hiu_tf.geometry.window import SCALE
from pipelines.schema import LEFT, UNKNOWN
from pipelines.warp import cut

#: Keys of the similarity [B, 3, 3] from the stored picture to the crop, and of the part of the picture that the crop may
#: show: its first and last pixel (x, y, x, y) [B, 4].
AFFINE, FRAME = "affine", "frame"


def place(batch: dict, size: int, config: AugmentConfig | None = None, seed=None, scale: float = SCALE) -> dict:
    """Chooses a crop for every record of a batch and transforms the labels to it.

    Args:
      batch: output of `records.parse` for B records.
      size: side S of the crops in pixels.
      config: strengths of the augmentation, or None for a plain crop of `scale` times the box.
      seed: [2] int, needed with a config; equal seeds give equal crops.

    Returns:
      The batch with joints and vertices in crop pixels and virtual camera, weights of 2D joints outside
      the crop set to 0, and `affine` and `frame` for `cut_pictures`. intrinsics become the matrix P of the
      crop: pixels ~ P X for X in the virtual camera (P is K times a rotation, all zero if unknown).
      right [B] is 0 for hands shown as the wrong side (config.wrong_side_probability): they keep no label but mask and side.
      whole [B] is 0 for those, for hands that an edge cuts off (config.edge_probability), and without a hand. visible is 0
      for joints beyond this edge.
    """
    where, is_left = boxes(batch), batch[keys.SIDE] == LEFT
    last = tf.cast(batch[keys.PICTURE_SIZE][:, ::-1] - 1, tf.float32)
    frame = tf.concat([tf.zeros_like(last), last], axis=1)
    if config is None:
        wrong = cut_off = tf.zeros_like(is_left)
        centre, side = around_boxes(where, scale)
        affine = similarity(centre, side, tf.zeros_like(side), is_left, size)
    else:
        side_seed, edge_seed = (tf.random.experimental.stateless_fold_in(seed, number) for number in (4, 5))
        wrong = tf.random.stateless_uniform(tf.shape(is_left), side_seed) < config.wrong_side_probability
        wrong &= batch[keys.SIDE] != UNKNOWN
        affine = _drawn(where, tf.math.logical_xor(is_left, wrong), size, config, seed)
        frame, cut_off = _cut_off(frame, where, config, edge_seed)
        seen = _is_between(batch[keys.JOINTS_2D], frame) | ~cut_off[:, tf.newaxis]
        batch = batch | {keys.VISIBLE: batch[keys.VISIBLE] * tf.cast(seen, tf.float32)}
    batch = batch | _move_labels(batch, affine, size) | {AFFINE: affine, FRAME: frame}
    batch = _label_sides(batch, wrong, config.wrong_side_probability if config else 0.0)
    return batch | {keys.WHOLE: batch[keys.RIGHT] * (1 - batch[keys.NO_HAND]) * (1.0 - tf.cast(cut_off, tf.float32))}


def cut_pictures(batch: dict, size: int) -> dict:
    """Decodes pictures and masks of records after `place` and cuts the crops: uint8 [B, S, S, 3], [B, S, S, 1]."""
    where = (batch[key] for key in (keys.PICTURE_SIZE, AFFINE, FRAME))
    image, mask = cut(batch[keys.IMAGE], batch[keys.MASK], *where, size)
    return batch | {keys.IMAGE: image, keys.MASK: mask}


def inside(batch: dict, size: int) -> tf.Tensor:
    """1.0 where the crops of a batch show the frames of their pictures, 0.0 beyond, [B, S, S, 1]."""
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).reshape(1, -1, 2)
    linear, shift = batch[AFFINE][:, :2, :2], batch[AFFINE][:, tf.newaxis, :2, 2]
    # The inverse of a similarity is its transpose by its determinant; a dummy sample of zeros has none, but no error either.
    inverse = tf.math.divide_no_nan(linear, tf.abs(tf.linalg.det(linear))[:, tf.newaxis, tf.newaxis])
    points = tf.linalg.matmul(tf.constant(grid, tf.float32) - shift, inverse)
    return tf.cast(tf.reshape(_is_between(points, batch[FRAME]), [-1, size, size, 1]), tf.float32)


def to_float(batch: dict) -> dict:
    """Converts pictures, masks and backgrounds of crops to float32 in [0, 1]."""
    names = [name for name in (keys.IMAGE, keys.MASK, keys.BACKGROUND) if name in batch]
    return batch | {name: tf.cast(batch[name], tf.float32) / 255.0 for name in names}


def boxes(batch: dict) -> tf.Tensor:
    """The box [B, 4] of each hand: the given one, or the tight one of its labelled joints."""
    points, given = batch[keys.JOINTS_2D], batch[keys.BOX]
    labelled = batch[keys.JOINTS_2D_WEIGHT][..., tf.newaxis] > 0
    low = tf.reduce_min(tf.where(labelled, points, math.inf), axis=1)
    high = tf.reduce_max(tf.where(labelled, points, -math.inf), axis=1)
    return tf.where(given[:, 2:3] > 0, given, tf.concat([low, high - low], axis=1))


def _drawn(boxes, mirrored, size, config, seed):
    """The similarity [B, 3, 3] to a crop at a random angle, scale and position for each box [B, 4]."""
    centre, side = around_boxes(boxes, scale=1.0)
    angle_seed, any_seed, scale_seed, offset_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
    anywhere = tf.random.stateless_uniform(tf.shape(side), any_seed) < config.any_rotation_probability
    turn = tf.where(anywhere, math.pi, math.radians(config.rotation_deg))
    angle = turn * tf.random.stateless_uniform(tf.shape(side), angle_seed, -1.0, 1.0)
    side *= tf.random.stateless_uniform(tf.shape(side), scale_seed, *map(float, config.crop_scale))
    offset = tf.random.stateless_uniform(tf.shape(centre), offset_seed, -config.translation, config.translation)
    return similarity(centre + offset * side[:, tf.newaxis], side, angle, mirrored, size)


def _cut_off(frame, boxes, config, seed):
    """Moves one edge of some pictures into the hand's box. Returns the new frames [B, 4] and for which hands [B] it did."""
    chance, edge, share = tf.unstack(tf.random.stateless_uniform([3, tf.shape(frame)[0]], seed))
    cut_off = chance < config.edge_probability
    least, most = config.edge_share
    hidden = (least + (most - least) * share)[:, tf.newaxis] * boxes[:, 2:]
    edges = tf.concat([boxes[:, :2] + hidden, boxes[:, :2] + boxes[:, 2:] - hidden], axis=1)
    edges = tf.minimum(tf.maximum(edges, 0.0), tf.tile(frame[:, 2:], [1, 2]))
    moved = tf.one_hot(tf.cast(4 * edge, tf.int32), 4, on_value=True, off_value=False) & cut_off[:, tf.newaxis]
    return tf.where(moved, edges, frame), cut_off


def _is_between(points, frame):
    """Whether points [B, N, 2] lie in frames [B, 4]: [B, N]."""
    return tf.reduce_all(
        (points >= frame[:, tf.newaxis, :2] - 0.5) & (points <= frame[:, tf.newaxis, 2:] + 0.5), axis=-1
    )


def _move_labels(batch, affine, size):
    joints_2d = _apply(affine, batch[keys.JOINTS_2D])
    inside = tf.reduce_all((joints_2d >= 0) & (joints_2d <= size - 1), axis=-1)
    known = batch[keys.INTRINSICS][:, :1, :1] > 0
    intrinsics = tf.where(known, batch[keys.INTRINSICS], tf.eye(3))
    mirrored = (tf.linalg.det(affine[:, :2, :2]) < 0)[:, tf.newaxis, tf.newaxis]
    flip = tf.where(mirrored, tf.linalg.diag([-1.0, 1, 1]), tf.eye(3))
    # The mirroring is applied to the points, the rest of the affine to K.
    crop_camera = transform_intrinsics(affine, intrinsics @ flip)
    look = look_at_rotation(crop_camera, tf.fill([tf.shape(affine)[0], 2], 0.5 * (size - 1.0)))
    turn = look @ inplane_rotation(affine @ flip) @ flip
    crop_camera = tf.linalg.matmul(crop_camera, look, transpose_b=True)
    joints_3d = tf.linalg.matmul(batch[keys.JOINTS_3D], turn, transpose_b=True)
    # A joint with only a 3D label gets its projection by K as 2D position, which POF of its bones needs.
    by_camera = (batch[keys.JOINTS_2D_WEIGHT] <= 0) & (batch[keys.JOINTS_3D_WEIGHT] > 0)
    seen = tf.linalg.matmul(joints_3d, crop_camera, transpose_b=True)  # P is no upright K: its last row counts
    seen = seen[..., :2] / tf.maximum(seen[..., 2:], MIN_DEPTH)
    joints_2d = tf.where(by_camera[..., tf.newaxis], seen, joints_2d)
    moved = {
        keys.JOINTS_2D: joints_2d,
        keys.JOINTS_2D_WEIGHT: batch[keys.JOINTS_2D_WEIGHT] * tf.cast(inside, tf.float32),
        keys.JOINTS_3D: joints_3d,
        keys.INTRINSICS: tf.where(known, crop_camera, 0.0),
    }
    if keys.VERTICES in batch:
        moved[keys.VERTICES] = tf.linalg.matmul(batch[keys.VERTICES], turn, transpose_b=True)
        moved[keys.ROTATION] = turn @ batch[keys.ROTATION]
    return moved


def _label_sides(batch, wrong, share):
    """Adds the labels of the side. Both sides have the same total weight, however few are shown as the wrong one."""
    known = tf.cast(batch[keys.SIDE] != UNKNOWN, tf.float32)
    right = 1.0 - tf.cast(wrong, tf.float32)
    of_right_hands = [keys.JOINTS_2D_WEIGHT, keys.JOINTS_3D_WEIGHT, keys.HAS_MESH, keys.HAS_PARAMETERS]
    skipped = {
        key: batch[key] * tf.reshape(right, [-1] + [1] * (batch[key].shape.rank - 1))
        for key in of_right_hands
        if key in batch
    }
    balance = (1.0 - share) / share if share else 1.0
    return batch | skipped | {keys.RIGHT: right, keys.RIGHT_WEIGHT: known * (right + (1.0 - right) * balance)}


def _apply(affine, points):
    return tf.linalg.matmul(points, affine[:, :2, :2], transpose_b=True) + affine[:, tf.newaxis, :2, 2]
