"""The mesh of posed hands by linear blend skinning, and its derivatives. NumPy twin of the hand layer, for use without TensorFlow."""

from dataclasses import dataclass

import numpy as np

from hiu_tf.conventions.skeleton import MODEL_TO_KEYPOINTS, NUM_MODEL_JOINTS
from hiu_tf.fit.chain import FINGERS, NUM_PARAMETERS, ROTATION, SHAPE, THETA, TRANSLATION, Chain, Hands, Posed, cross
from hiu_tf.hand.model import NUM_SHAPE, HandModel

#: Joints of the hand model for the first three key points of each finger, [5, 3].
_TURNING = MODEL_TO_KEYPOINTS[FINGERS[:, :3]]
#: Columns of the derivatives with respect to theta, [5, 3, 3].
_COLUMNS = NUM_SHAPE + 3 * THETA[..., np.newaxis] + np.arange(3)


@dataclass
class Surface:
    """The mesh of N posed hands.

    Attributes:
      posed: the hands.
      vertices: [N, V, 3] float32, metres, camera frame.
      bones: rotation and offset [N, 16, 3, 4] by which each bone moves vertices at rest, relative to T.
      bent: [N, V, 3] float32, vertices at rest with all blend shapes.
    """

    posed: Posed
    vertices: np.ndarray
    bones: np.ndarray
    bent: np.ndarray


class Skin:
    """The surface of a hand model."""

    def __init__(self, hand: HandModel):
        self._hand, self._chain = hand, Chain(hand)
        directions = np.concatenate([hand.shape_directions, hand.pose_directions], axis=-1)
        self._directions = np.ascontiguousarray(directions.reshape(-1, directions.shape[-1]).T)
        self._joint_moves = np.einsum("jv,vcs->sjc", hand.joint_regressor, hand.shape_directions)

    def __call__(self, hands: Hands) -> np.ndarray:
        """Vertices [N, V, 3] float32, metres, camera frame, equal to those of `hand.layer.pose_hand`."""
        return self.surface(self._chain.posed(hands)).vertices

    def surface(self, posed: Posed) -> Surface:
        """The same for hands whose joints are already placed, with what `derivatives` needs."""
        bones, bent = self._bones(posed), self._bent(posed)
        blended = (self._hand.weights @ bones.astype(np.float32).reshape(-1, NUM_MODEL_JOINTS, 12)).reshape(
            -1, *bent.shape[1:], 4
        )
        moved = np.einsum("nvab,nvb->nva", blended[..., :3], bent) + blended[..., 3]
        return Surface(posed, moved + posed.hands.translation[:, np.newaxis].astype(np.float32), bones, bent)

    def derivatives(self, surface: Surface, of_joints: np.ndarray, chosen: np.ndarray, along: np.ndarray) -> np.ndarray:
        """Derivatives [N, K, 61] of the vertices `chosen` [N, K] along directions [N, K, 3].

        They are those by the parameters of `Chain.derivatives`, whose result for the same hands is `of_joints`. The pose
        blend shapes move with the bones, and are otherwise taken as constant.
        """
        posed, bones = surface.posed, surface.bones
        weights = self._hand.weights[chosen].astype(float)  # [N, K, 16]
        points = np.take_along_axis(surface.bent, chosen[..., np.newaxis], axis=1)
        by_bone = np.einsum("njab,nkb->nkja", bones[..., :3], points) + bones[:, np.newaxis, ..., 3]
        by_bone *= weights[..., np.newaxis]  # each bone's share of the vertices, relative to T
        table = np.empty((*chosen.shape, NUM_PARAMETERS))
        table[..., SHAPE] = self._moved_by_shape(bones[..., :3], of_joints, weights, chosen, along)
        placed = posed.joints - posed.hands.translation[:, np.newaxis]
        arms = by_bone.sum(axis=2) - placed[:, np.newaxis, 0]
        table[..., ROTATION] = cross(arms[..., np.newaxis], along[..., np.newaxis])[..., 0]
        table[..., TRANSLATION] = along
        # Each joint of a finger rotates the shares of its own bone and of those after it.
        after = lambda x: np.cumsum(x[:, :, _TURNING][:, :, :, ::-1], axis=3)[:, :, :, ::-1]
        centres = placed[:, np.newaxis, FINGERS[:, :3]]
        arms = after(by_bone) - after(weights)[..., np.newaxis] * centres
        axes = posed.frames[:, :, :3] @ posed.jacobian[:, THETA]
        turned = cross(arms[..., np.newaxis], along[:, :, np.newaxis, np.newaxis, :, np.newaxis])  # [N, K, 5, 3, 3, 1]
        table[..., _COLUMNS] = (np.swapaxes(turned, -1, -2) @ axes[:, np.newaxis])[..., 0, :]
        return table

    def _bones(self, posed):
        """Rotations and offsets, relative to T: half a metre of depth would cost float32 precision."""
        joints, hands, count = posed.joints, posed.hands, len(posed.joints)
        rotations, positions = np.empty((count, NUM_MODEL_JOINTS, 3, 3)), np.empty((count, NUM_MODEL_JOINTS, 3))
        rotations[:, 0], positions[:, 0] = hands.rotation, joints[:, 0]
        rotations[:, _TURNING], positions[:, _TURNING] = posed.frames[:, :, 1:], joints[:, FINGERS[:, :3]]
        rest = self._hand.joints + np.tensordot(hands.shape, self._joint_moves, axes=1)
        offsets = positions - hands.translation[:, np.newaxis] - np.einsum("njab,njb->nja", rotations, rest)
        return np.concatenate([rotations, offsets[..., np.newaxis]], axis=-1)

    def _bent(self, posed):
        count = len(posed.local)
        features = np.concatenate([posed.hands.shape, (posed.local - np.eye(3)).reshape(count, -1)], axis=1)
        # A product for each hand: one of all rounds a hand otherwise in each company.
        bent = features.astype(np.float32)[:, np.newaxis] @ self._directions
        return self._hand.vertices + bent.reshape(count, -1, 3)

    def _moved_by_shape(self, rotations, moves, weights, chosen, along):
        """Derivatives of vertices along directions with respect to beta, [N, K, 10]."""
        joints = np.empty((*rotations.shape[:3], NUM_SHAPE))
        joints[:, 0], joints[:, _TURNING] = moves[:, 0, :, SHAPE], moves[:, FINGERS[:, :3], :, SHAPE]
        offsets = joints - rotations @ self._joint_moves.transpose(1, 2, 0)
        share = weights[..., np.newaxis] * along[:, :, np.newaxis]  # [N, K, 16, 3]
        at_rest = np.einsum("nkja,njab->nkb", share, rotations)[..., np.newaxis, :]
        return (at_rest @ self._hand.shape_directions[chosen])[..., 0, :] + np.einsum("nkjc,njcs->nks", share, offsets)
