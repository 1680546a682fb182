"""The 21 joints of a posed hand and their derivatives with respect to every parameter. NumPy, float64, batched.

Here a fingertip is a fixed point of its finger's last bone. That is exact for our own hand, whose tips follow the last
bone alone; MANO's tips also move a little with the blend shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hiu_tf.conventions.skeleton import MODEL_TO_KEYPOINTS, NUM_JOINTS
from hiu_tf.geometry.rotation import cross_matrix, rotation_and_jacobian, rotation_matrix
from hiu_tf.hand.model import NUM_SHAPE, HandModel

#: Key points 1..20 as [finger, position from the palm]; the first three of each finger are joints of the hand model.
FINGERS = np.arange(1, NUM_JOINTS).reshape(5, 4)
#: Row of theta [15, 3] that rotates each of these model joints, [5, 3].
THETA = MODEL_TO_KEYPOINTS[FINGERS[:, :3]] - 1
#: Parent of each of FINGERS.
PARENTS = np.concatenate([np.zeros((5, 1), int), FINGERS[:, :3]], axis=1)
#: Whether rotating a finger's model joint (of 3) moves its key point (of 4), [5, 3, 4].
_AFTER = np.broadcast_to(np.arange(4) > np.arange(3)[:, np.newaxis], (5, 3, 4))

SHAPE, POSE = slice(0, NUM_SHAPE), slice(NUM_SHAPE, NUM_SHAPE + 45)
ROTATION, TRANSLATION = slice(55, 58), slice(58, 61)
NUM_PARAMETERS = 61
#: The same pairs as indices: moved key points [30, 1] and columns of the derivatives [30, 3].
_TURNED = np.broadcast_to(FINGERS[:, np.newaxis], _AFTER.shape)[_AFTER][:, np.newaxis]
_TURNING = NUM_SHAPE + 3 * np.broadcast_to(THETA[..., np.newaxis], _AFTER.shape)[_AFTER][:, np.newaxis] + np.arange(3)


@dataclass
class Hands:
    """Parameters of N hands.

    Attributes:
      shape: beta [N, 10].
      pose: theta [N, 15, 3], axis-angle.
      rotation: R [N, 3, 3], hand frame -> camera frame.
      translation: T [N, 3], metres.
    """

    shape: np.ndarray
    pose: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray

    def moved(self, step: np.ndarray) -> Hands:
        """Returns the hands after a step [N, 61] in the parameters of `Chain.derivatives`."""
        return Hands(
            self.shape + step[:, SHAPE],
            self.pose + step[:, POSE].reshape(-1, 15, 3),
            rotation_matrix(step[:, ROTATION]) @ self.rotation,
            self.translation + step[:, TRANSLATION],
        )

    def part(self, rows) -> Hands:
        """Returns a subset of the hands."""
        return Hands(**{name: value[rows] for name, value in vars(self).items()})

    def where(self, chosen: np.ndarray, other: Hands) -> Hands:
        """Returns these hands where `chosen` [N] is true, else those of `other`."""
        pairs = zip(vars(self).values(), vars(other).values())
        return Hands(*(np.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))


@dataclass
class Posed:
    """N hands, and what every use of their parameters starts from: it is computed once.

    Attributes:
      hands: their parameters.
      joints: [N, 21, 3], metres, camera frame.
      frames: rotation of each bone of each finger, [N, 5, 4, 3, 3]. The first bone starts at the wrist and has the rotation R.
      local: rotation matrix of each joint angle of theta, [N, 15, 3, 3].
      jacobian: its left Jacobian, [N, 15, 3, 3] (`rotation_and_jacobian`).
    """

    hands: Hands
    joints: np.ndarray
    frames: np.ndarray
    local: np.ndarray
    jacobian: np.ndarray


class Chain:
    """The skeleton of a hand model.

    Attributes:
      points: [21, 3], the joints of the mean hand at rest, metres.
      moves: [21, 3, 10], their derivatives with respect to beta.
    """

    def __init__(self, hand: HandModel):
        joints, tips = hand.joint_regressor.astype(float), hand.tips
        points = np.concatenate([joints @ hand.vertices, hand.vertices[tips]])
        moves = np.concatenate([np.einsum("jv,vcn->jcn", joints, hand.shape_directions), hand.shape_directions[tips]])
        self.points, self.moves = points[MODEL_TO_KEYPOINTS], moves[MODEL_TO_KEYPOINTS].astype(float)
        self._by_shape = self.moves.transpose(2, 0, 1).reshape(NUM_SHAPE, -1)

    def joints(self, hands: Hands) -> np.ndarray:
        """Joints [N, 21, 3] in metres, camera frame."""
        return self.posed(hands).joints

    def posed(self, hands: Hands) -> Posed:
        """Rotates the bones and places the joints."""
        local, jacobian = rotation_and_jacobian(hands.pose)
        return Posed(hands, *self._placed(hands, local), local, jacobian)

    def derivatives(self, posed: Posed) -> np.ndarray:
        """Derivatives [N, 21, 3, 61] of the joints.

        The parameters are beta, theta, a small rotation in the camera frame applied after R, and T.
        """
        joints, frames = posed.joints, posed.frames
        table = np.zeros((len(joints), NUM_JOINTS, 3, NUM_PARAMETERS))
        table[..., SHAPE] = self._moved_by_shape(frames)
        table[..., ROTATION] = -cross_matrix(joints - joints[:, :1])
        table[..., TRANSLATION] = np.eye(3)
        # Each joint rotates the key points after it in its finger; the axes are those of d theta in the camera frame.
        axes = (frames[:, :, :3] @ posed.jacobian[:, THETA])[:, :, :, np.newaxis]
        chain = joints[:, FINGERS]
        arms = (chain[:, :, np.newaxis] - chain[:, :, :3, np.newaxis])[..., np.newaxis]
        table[:, _TURNED, :, _TURNING] = np.moveaxis(cross(axes, arms)[:, _AFTER], (1, 3), (0, 1))
        return table

    def _placed(self, hands, local):
        rest = self.points + (hands.shape @ self._by_shape).reshape(-1, NUM_JOINTS, 3)
        joints = np.empty_like(rest)
        joints[:, 0] = rest[:, 0] + hands.translation  # R turns about the wrist, which MANO does not have in its origin
        frames = np.empty((len(rest), 5, 4, 3, 3))
        frames[:, :, 0] = hands.rotation[:, np.newaxis]
        bones = (rest[:, FINGERS] - rest[:, PARENTS])[..., np.newaxis]
        last = joints[:, :1]
        for place in range(4):
            last = last + (frames[:, :, place] @ bones[:, :, place])[..., 0]
            joints[:, FINGERS[:, place]] = last
            if place < 3:
                frames[:, :, place + 1] = frames[:, :, place] @ local[:, THETA[:, place]]
        return joints, frames

    def _moved_by_shape(self, frames):
        """Derivatives of the joints with respect to beta, [N, 21, 3, 10]: sums over the bones up to each joint."""
        table = np.empty((len(frames), NUM_JOINTS, 3, NUM_SHAPE))
        table[:, 0] = self.moves[0]
        bones = frames @ (self.moves[FINGERS] - self.moves[PARENTS])
        table[:, FINGERS] = table[:, np.newaxis, np.newaxis, 0] + np.cumsum(bones, axis=2)
        return table


def cross(a, b):
    """Cross product over the second-to-last axis, broadcast."""
    (ax, ay, az), (bx, by, bz) = np.moveaxis(a, -2, 0), np.moveaxis(b, -2, 0)
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-2)
