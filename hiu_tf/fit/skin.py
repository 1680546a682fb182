"""The mesh of posed hands by linear blend skinning. NumPy twin of the hand layer, for use without TensorFlow."""

import numpy as np

from hiu_tf.conventions.skeleton import MODEL_TO_KEYPOINTS, NUM_MODEL_JOINTS
from hiu_tf.fit.chain import FINGERS, Chain, Hands
from hiu_tf.geometry.rotation import rotation_matrix
from hiu_tf.hand.model import HandModel

#: Joints of the hand model for the first three key points of each finger, [5, 3].
_TURNING = MODEL_TO_KEYPOINTS[FINGERS[:, :3]]


class Skin:
    """The surface of a hand model."""

    def __init__(self, hand: HandModel):
        self._hand, self._chain = hand, Chain(hand)
        directions = np.concatenate([hand.shape_directions, hand.pose_directions], axis=-1)
        self._directions = np.ascontiguousarray(directions.reshape(-1, directions.shape[-1]).T)
        self._joint_moves = np.einsum("jv,vcs->sjc", hand.joint_regressor, hand.shape_directions)

    def __call__(self, hands: Hands) -> np.ndarray:
        """Vertices [N, V, 3] float32, metres, camera frame, equal to those of `hand.layer.pose_hand`."""
        count = len(hands.shape)
        joints, frames = self._chain.posed(hands)
        rotations, positions = np.empty((count, NUM_MODEL_JOINTS, 3, 3)), np.empty((count, NUM_MODEL_JOINTS, 3))
        rotations[:, 0], positions[:, 0] = hands.rotation, joints[:, 0]
        rotations[:, _TURNING], positions[:, _TURNING] = frames[:, :, 1:], joints[:, FINGERS[:, :3]]
        # Blends relative to the wrist: half a metre of depth would cost float32 precision.
        positions -= hands.translation[:, np.newaxis]
        rest = self._hand.joints + np.tensordot(hands.shape, self._joint_moves, axes=1)
        offsets = positions - np.einsum("njab,njb->nja", rotations, rest)
        bones = np.concatenate([rotations, offsets[..., np.newaxis]], axis=-1).astype(np.float32)
        features = np.concatenate([hands.shape, (rotation_matrix(hands.pose) - np.eye(3)).reshape(count, -1)], axis=1)
        bent = self._hand.vertices + (features.astype(np.float32) @ self._directions).reshape(count, -1, 3)
        blended = (self._hand.weights @ bones.reshape(count, NUM_MODEL_JOINTS, 12)).reshape(count, -1, 3, 4)
        moved = np.einsum("nvab,nvb->nva", blended[..., :3], bent) + blended[..., 3]
        return moved + hands.translation[:, np.newaxis].astype(np.float32)
