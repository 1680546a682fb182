"""Predicted hands -> GLB: the hands of a picture, and the movement of each hand of a clip. NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hiu_tf.conventions.skeleton import NUM_MODEL_JOINTS
from hiu_tf.errors import UserError
from hiu_tf.geometry.rotation import axis_angle, quaternion, rotation_matrix
from hiu_tf.hand.gltf import SkinnedHand, glb_bytes
from hiu_tf.hand.model import mirror_hand, mirror_rotations
from hiu_tf.runtime.smoothing import resting_cutoff

if TYPE_CHECKING:
    from hiu_tf.runtime.prediction import Prediction

#: Field of view along the picture's longer side of a camera whose K is unknown, degrees: between those of phones and
#: webcams.
_FIELD_DEG = 60.0
_MIRROR = np.diag([-1.0, 1.0, 1.0])


def usual_camera(picture: np.ndarray) -> np.ndarray:
    """K [3, 3] of an ordinary camera for a picture [H, W, 3]."""
    height, width = picture.shape[:2]
    focal = 0.5 * max(height, width) / math.tan(math.radians(_FIELD_DEG / 2))
    return np.array([[focal, 0, 0.5 * (width - 1)], [0, focal, 0.5 * (height - 1)], [0, 0, 1]])


def picture_glb(hands: Sequence[Prediction]) -> bytes:
    """A GLB file with all hands of a picture, in the frame of their camera; of `usual_camera` if its K was not given.

    Raises:
      UserError: the model of a hand is not known.
    """
    moves = []
    for number, hand in enumerate(hands, start=1):
        moves.append(Movement(f"hand_{number}_{hand.side}"))
        moves[-1].add(0.0, hand)
    return glb_bytes([move.skinned(0.0) for move in moves])


class Movement:
    """The movement of one hand of one side: a key frame for each frame of the clip in which it is seen, 270 bytes each.

    Args:
      name: of the hand in the file.
    """

    def __init__(self, name: str):
        self._name, self._model, self._side = name, None, None
        self._times, self._shapes, self._turns, self._wrists = [], [], [], []

    def __len__(self) -> int:
        """Number of key frames."""
        return len(self._times)

    def add(self, time: float, hand: Prediction) -> None:
        """Adds the hand at a time (seconds).

        Raises:
          UserError: the model of the hand is not known.
        """
        if hand.model is None:
            raise UserError(f"the mesh is of {hand.hand}: give this hand model (--hand)")
        self._model, self._side = hand.model, hand.side
        K = usual_camera(hand.picture) if hand.K is None else hand.K
        left = hand.side == "left"
        # The parameters of a left hand describe its mirror image; axes of its crop turn that back.
        axes, mirror = hand.crop.rotation_to_camera(K), _MIRROR if left else np.eye(3)
        rotation = axes @ rotation_matrix(np.asarray(hand.rotation, float)) @ mirror
        pose = np.asarray(hand.pose, float).reshape(-1, 3)
        pose = mirror_rotations(pose) if left else pose
        turns = quaternion(np.concatenate([axis_angle(rotation)[np.newaxis], pose]))
        if self._turns:  # q and -q are the same rotation: the nearer one, so that means of neighbours are right
            turns *= np.where(np.sum(turns * self._turns[-1], axis=1, keepdims=True) < 0, -1.0, 1.0)
        wrist = _wrist(self._model, hand.shape) + hand.translation
        self._wrists.append(hand.crop.to_camera(wrist, wrist, K).astype(np.float32))
        self._turns.append(turns.astype(np.float32))
        self._shapes.append(np.asarray(hand.shape, np.float32))
        self._times.append(time)

    def skinned(self, strength: float) -> SkinnedHand:
        """The hand with its key frames; its shape is the median of all frames.

        Args:
          strength: of the temporal filter, from 0 (none) to 1. All frames are known, so that a Gaussian with the
            resting cut-off of runtime/smoothing.py filters without lag.
        """
        model = mirror_hand(self._model) if self._side == "left" else self._model
        times, shape = np.array(self._times), np.median(self._shapes, axis=0).astype(float)
        turns = np.array(self._turns, float).reshape(len(times), -1)
        values = np.concatenate([turns, np.array(self._wrists, float)], axis=1)
        if strength:
            values = _filtered(values, times, math.sqrt(math.log(2)) / (2 * math.pi * resting_cutoff(strength)))
        turns, wrists = values[:, :-3].reshape(-1, NUM_MODEL_JOINTS, 4), values[:, -3:]
        turns = turns / np.linalg.norm(turns, axis=-1, keepdims=True)
        return SkinnedHand(model, shape, turns, wrists - _wrist(model, shape), times, self._name)


def _wrist(model, shape):
    """The wrist's place at rest, [3]."""
    weights = model.joint_regressor[0].astype(float)
    return weights @ model.vertices + np.einsum("v,vcn,n->c", weights, model.shape_directions, shape)


def _filtered(values, times, deviation):
    """Rows of values [T, N] as Gaussian means over time; frames without the hand are left out."""
    total, weights = values.copy(), np.ones(len(times))
    reach = int(np.max(np.searchsorted(times, times + 3 * deviation) - np.arange(len(times)))) + 1
    for offset in range(1, min(reach, len(times) - 1) + 1):
        share = np.exp(-0.5 * ((times[offset:] - times[:-offset]) / deviation) ** 2)
        total[offset:] += share[:, np.newaxis] * values[:-offset]
        total[:-offset] += share[:, np.newaxis] * values[offset:]
        weights[offset:] += share
        weights[:-offset] += share
    return total / weights[:, np.newaxis]
