"""The hand layer: beta, theta, R, T -> vertices and 21 joints (supplement 1.1; SMPL-style skinning).

Joints come from posing the rest joints J(beta) along the kinematic chain. They are never regressed
from the posed mesh: the supplement warns of exactly that.
"""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import MODEL_TO_KEYPOINTS
from hiu_tf.geometry.rotation import rotation_matrix
from hiu_tf.hand.model import HandModel

#: The chain by levels: all first joints of the fingers, then all second, then all third ones.
_LEVELS = (np.arange(1, 16, 3), np.arange(2, 16, 3), np.arange(3, 16, 3))
_TO_MODEL_ORDER = np.argsort(np.concatenate([[0], *_LEVELS]))


def pose_hand(hand: HandModel, shape, pose, rotation, translation) -> dict[str, tf.Tensor]:
    """Poses the hand.

    Args:
      hand: the model's arrays.
      shape: beta [B, 10].
      pose: theta [B, 15, 3], axis-angle of the finger joints relative to the flat rest pose.
      rotation: R [B, 3], axis-angle about the wrist, hand frame -> camera frame.
      translation: T [B, 3], metres, added last.

    Returns:
      {"vertices": [B, V, 3], "joints_3d": [B, 21, 3]}, metres, float32, camera frame.
    """
    shape, pose, rotation, translation = (tf.cast(x, tf.float32) for x in (shape, pose, rotation, translation))
    local = rotation_matrix(pose)
    shaped = hand.vertices + _blend(shape, hand.shape_directions)
    rest = hand.joints.astype(np.float32) + _blend(shape, _joint_directions(hand))
    features = tf.reshape(local - tf.eye(3), [-1, hand.pose_directions.shape[-1]])
    bent = shaped + _blend(features, hand.pose_directions)
    rotations, joints = _kinematic_chain(rest, rotation_matrix(rotation), local)
    vertices = _skin(hand, bent, rest, rotations, joints)
    shift = translation[:, tf.newaxis]
    tips = tf.gather(vertices, hand.tips, axis=1)
    keypoints = tf.gather(tf.concat([joints, tips], axis=1), MODEL_TO_KEYPOINTS, axis=1)
    return {keys.VERTICES: vertices + shift, keys.JOINTS_3D: keypoints + shift}


class HandLayer(keras.layers.Layer):
    """`pose_hand` as a Keras layer; float32 inside whatever the precision policy."""

    def __init__(self, hand: HandModel, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.hand = hand

    def call(self, inputs):
        """Poses a dictionary with the keys shape, pose, rotation, translation."""
        return pose_hand(self.hand, *(inputs[k] for k in (keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION)))


def _blend(coefficients, directions):
    """[B, N] x [V, 3, N] -> [B, V, 3] as one matrix product."""
    count = directions.shape[-1]
    matrix = np.ascontiguousarray(directions.reshape(-1, count).T)
    return tf.reshape(tf.matmul(coefficients, matrix), [-1, *directions.shape[:2]])


def _joint_directions(hand):
    return np.einsum("jv,vcn->jcn", hand.joint_regressor, hand.shape_directions).astype(np.float32)


def _kinematic_chain(rest, root, local):
    """World rotations [B, 16, 3, 3] and positions [B, 16, 3] of the joints."""
    parent_rotation, parent_position, parent_rest = root[:, tf.newaxis], rest[:, :1], rest[:, :1]
    rotations, positions = [parent_rotation], [parent_position]
    for level in _LEVELS:
        level_rest = tf.gather(rest, level, axis=1)
        offset = (level_rest - parent_rest)[..., tf.newaxis]
        position = parent_position + tf.squeeze(tf.matmul(parent_rotation, offset), -1)
        parent_rotation = tf.matmul(parent_rotation, tf.gather(local, level - 1, axis=1))
        parent_position, parent_rest = position, level_rest
        rotations.append(parent_rotation)
        positions.append(position)
    return (
        tf.gather(tf.concat(rotations, axis=1), _TO_MODEL_ORDER, axis=1),
        tf.gather(tf.concat(positions, axis=1), _TO_MODEL_ORDER, axis=1),
    )


def _skin(hand, vertices, rest, rotations, positions):
    """Linear blend skinning as one product of the weights with the bones' 3x4 transforms."""
    offset = positions[..., tf.newaxis] - tf.matmul(rotations, rest[..., tf.newaxis])
    bones = tf.reshape(tf.concat([rotations, offset], axis=-1), [-1, 16, 12])
    transforms = tf.matmul(tf.tile(hand.weights[np.newaxis], [tf.shape(bones)[0], 1, 1]), bones)
    transforms = tf.reshape(transforms, [-1, hand.weights.shape[0], 3, 4])
    return tf.reduce_sum(transforms[..., :3] * vertices[:, :, tf.newaxis], -1) + transforms[..., 3]
