"""The hand layer: beta, theta, R, T -> vertices and 21 joints (supplement 1.1; SMPL-style skinning).

Joints come from posing the rest joints J(beta) along the kinematic chain. They are never regressed
from the posed mesh, against which the supplement warns (docs/hand.md).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import MODEL_TO_KEYPOINTS
from hiu_tf.geometry.tensor.mesh import batch_vertex_normals
from hiu_tf.geometry.tensor.rotation import rotation_matrix
from hiu_tf.hand.model import HandModel

#: Formats in which theta may be given.
POSE_FORMATS = ("axis_angle", "matrix", "coefficients")
#: The kinematic chain by levels: the first joints of all fingers, then the second, then the third.
_LEVELS = (np.arange(1, 16, 3), np.arange(2, 16, 3), np.arange(3, 16, 3))
_TO_MODEL_ORDER = np.argsort(np.concatenate([[0], *_LEVELS]))


def pose_hand(
    hand: HandModel,
    shape,
    pose,
    rotation,
    translation,
    *,
    pose_format: str = "axis_angle",
    add_mean: bool = False,
    bone_transforms: bool = False,
    normals: bool = False,
) -> dict[str, tf.Tensor]:
    """Poses the hand.

    Args:
      hand: the model's arrays.
      shape: beta [B, 10].
      pose: theta of the 15 finger joints relative to the flat rest pose, in the format `pose_format`:
        axis_angle [B, 15, 3] or [B, 45]; matrix [B, 15, 3, 3]; coefficients [B, N <= 45] of the rows
        of `hand.pose_basis` (MANO's PCA).
      rotation: R about the wrist, hand frame -> camera frame: axis-angle [B, 3] or matrix [B, 3, 3].
      translation: T [B, 3], metres, added last.
      add_mean: whether theta is relative to `hand.pose_mean` (MANO's flat_hand_mean=False).
      bone_transforms, normals: whether to return these as well.

    Returns:
      {"vertices": [B, V, 3], "joints_3d": [B, 21, 3]}, metres, float32, camera frame; if asked for also
      {"bone_transforms": [B, 16, 4, 4]}, rotation and position of each joint in the camera frame, and
      {"normals": [B, V, 3]}, unit, outwards.

    Raises:
      ValueError: unknown format, or add_mean with matrices.
    """
    shape, rotation, translation = (tf.cast(x, tf.float32) for x in (shape, rotation, translation))
    local = finger_rotations(hand, pose, pose_format, add_mean)
    root = rotation if rotation.shape.rank == 3 else rotation_matrix(rotation)
    rest = _rest_joints(hand, shape)
    rotations, joints = _kinematic_chain(rest, root, local)
    bent = _blend_shapes(hand, shape, local)
    # T is added last: before, coordinates are as small as the hand, which keeps precision in int8 and float16.
    unmoved = _skin(hand, bent, rotations, joints - _rotate(rotations, rest))
    vertices = tf.transpose(unmoved + tf.transpose(translation)[..., tf.newaxis], [1, 2, 0])
    joints += translation[:, tf.newaxis]
    tips = tf.gather(vertices, hand.tips, axis=1)
    posed = {
        keys.VERTICES: vertices,
        keys.JOINTS_3D: tf.gather(tf.concat([joints, tips], axis=1), MODEL_TO_KEYPOINTS, axis=1),
    }
    if bone_transforms:
        posed[keys.BONE_TRANSFORMS] = _homogeneous(rotations, joints)
    if normals:
        posed[keys.NORMALS] = batch_vertex_normals(tf.transpose(unmoved, [1, 2, 0]), hand.faces)
    return posed


def finger_rotations(hand: HandModel, pose, pose_format: str = "axis_angle", add_mean: bool = False) -> tf.Tensor:
    """Theta in any of `POSE_FORMATS` -> rotation of each finger joint relative to its parent, [B, 15, 3, 3]."""
    if pose_format not in POSE_FORMATS:
        raise ValueError(f"pose_format must be one of {POSE_FORMATS}, got {pose_format!r}")
    pose = tf.cast(pose, tf.float32)
    if pose_format == "matrix":
        if add_mean:
            raise ValueError("the mean pose is an axis-angle: it cannot be added to rotation matrices")
        return pose
    if pose_format == "coefficients":
        pose = tf.matmul(pose, hand.pose_basis[: pose.shape[-1]])
    pose = tf.reshape(pose, [-1, 15, 3])
    return rotation_matrix(pose + hand.pose_mean.reshape(15, 3) if add_mean else pose)


class HandLayer(keras.layers.Layer):
    """`pose_hand` as a Keras layer; computes in float32 under any precision policy.

    Args:
      hand: the model's arrays.
      options: keyword arguments of `pose_hand`.
    """

    def __init__(self, hand: HandModel, name: str | None = None, **options):
        super().__init__(dtype="float32", name=name)
        self.hand, self.options = hand, options

    def call(self, inputs):
        """Poses a dictionary with the keys shape, pose, rotation, translation."""
        parameters = (inputs[k] for k in (keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION))
        return pose_hand(self.hand, *parameters, **self.options)


def _rest_joints(hand, shape):
    """J(beta), [B, 16, 3]. The regressor is applied once to the template and the shape directions."""
    directions = np.einsum("jv,vcn->njc", hand.joint_regressor, hand.shape_directions).astype(np.float32)
    moved = tf.matmul(shape, directions.reshape(len(directions), -1))
    return hand.joints.astype(np.float32) + tf.reshape(moved, [-1, *directions.shape[1:]])


def _blend_shapes(hand, shape, local):
    """Template with shape and pose blend shapes, as planes x, y, z of [B, V] each."""
    directions = np.concatenate([hand.shape_directions, hand.pose_directions], axis=-1).transpose(1, 2, 0)
    features = tf.reshape(local - tf.eye(3), [-1, hand.pose_directions.shape[-1]])
    features = tf.concat([shape, features], axis=-1)
    return [tf.matmul(features, np.ascontiguousarray(d)) + v for d, v in zip(directions, hand.vertices.T)]


def _kinematic_chain(rest, root, local):
    """World rotations [B, 16, 3, 3] and positions [B, 16, 3] of the joints."""
    parent_rotation, parent_position, parent_rest = root[:, tf.newaxis], rest[:, :1], rest[:, :1]
    rotations, positions = [parent_rotation], [parent_position]
    for level in _LEVELS:
        level_rest = tf.gather(rest, level, axis=1)
        position = parent_position + _rotate(parent_rotation, level_rest - parent_rest)
        parent_rotation = tf.matmul(parent_rotation, tf.gather(local, level - 1, axis=1))
        parent_position, parent_rest = position, level_rest
        rotations.append(parent_rotation)
        positions.append(position)
    return (
        tf.gather(tf.concat(rotations, axis=1), _TO_MODEL_ORDER, axis=1),
        tf.gather(tf.concat(positions, axis=1), _TO_MODEL_ORDER, axis=1),
    )


def _skin(hand, vertices, rotations, offsets):
    """Linear blend skinning: planes x, y, z of [B, V], bones [B, 16, 3, 3] and [B, 16, 3] -> [3, B, V].

    Computes the entries of the blended 3x4 transforms by matrix products with the weights. A batched
    product of small matrices would be shorter code, but far slower in training. Rotations and offsets
    have products of their own, because int8 would give the small offsets the scale of the rotations.
    """
    columns = tf.unstack(_weighted(hand, tf.transpose(rotations, [3, 2, 0, 1])))
    moved = _weighted(hand, tf.transpose(offsets, [2, 0, 1]))
    return tf.add_n([*(column * plane for column, plane in zip(columns, vertices)), moved])


def _weighted(hand, bones):
    """[..., B, 16] of the bones -> [..., B, V] of the vertices."""
    vertices = tf.matmul(tf.reshape(bones, [-1, 16]), np.ascontiguousarray(hand.weights.T))
    return tf.reshape(vertices, [*bones.shape[:-2], -1, len(hand.weights)])


def _rotate(rotations, points):
    """[..., 3, 3] x [..., 3] -> [..., 3]."""
    return tf.reduce_sum(rotations * points[..., tf.newaxis, :], axis=-1)


def _homogeneous(rotations, positions):
    top = tf.concat([rotations, positions[..., tf.newaxis]], axis=-1)
    bottom = tf.zeros_like(top[..., :1, :]) + tf.constant([0.0, 0.0, 0.0, 1.0])
    return tf.concat([top, bottom], axis=-2)
