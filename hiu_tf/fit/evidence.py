"""Evidence about hands, and residuals of posed hands against it, with derivatives. NumPy, batched.

Every residual is divided by its expected standard deviation, so that the sum of squares is a log likelihood.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hiu_tf.conventions.skeleton import BONES
from hiu_tf.fit.chain import NUM_PARAMETERS, POSE, SHAPE, Chain, Hands
from hiu_tf.fit.outline import OutlineResiduals, Outlines
from hiu_tf.fit.skin import Skin
from hiu_tf.geometry.camera import MIN_DEPTH
from hiu_tf.hand.limits import joint_limits
from hiu_tf.hand.model import NUM_SHAPE, HandModel


@dataclass(frozen=True)
class Deviations:
    """Expected standard deviation of each kind of evidence.

    Attributes:
      joints_2d: of 2D joints, as a share of the longer side of the hand's box.
      directions: of unit vectors along bones, roughly in radians.
      joints_3d: of 3D joints relative to the wrist, metres.
      pose: radians added in quadrature to the hand model's deviations of natural poses.
      limits: of joint angles beyond their limits, radians.
      shape: of beta.
      outline: of mesh and mask, as a share of the longer side of the hand's box. Errors of neighbouring points are
        correlated; it is therefore larger than one point's.
    """

    joints_2d: float = 0.015
    directions: float = 0.25
    joints_3d: float = 0.010
    pose: float = 0.08
    limits: float = 0.05
    shape: float = 1.0
    outline: float = 0.02


@dataclass(frozen=True)
class Evidence:
    """Evidence about N right hands, each in its own camera frame. Weights are >= 0; 0 means unknown.

    Attributes:
      joints_2d: [N, 21, 2] pixels, joints_2d_weight: [N, 21].
      intrinsics: K [N, 3, 3].
      box: [N], longer side of the hand's box in pixels.
      directions: [N, 20, 3] unit vectors from parent to child of each bone, directions_weight: [N, 20].
      joints_3d: [N, 21, 3] metres; only their differences from the wrist count; joints_3d_weight: [N, 21].
      outlines: of the masks; None: there is none.
    """

    joints_2d: np.ndarray
    joints_2d_weight: np.ndarray
    intrinsics: np.ndarray
    box: np.ndarray
    directions: np.ndarray
    directions_weight: np.ndarray
    joints_3d: np.ndarray
    joints_3d_weight: np.ndarray
    outlines: Outlines | None = None

    def part(self, rows) -> Evidence:
        """Returns the evidence for a subset of the hands."""
        arrays = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return Evidence(**arrays, outlines=self.outlines and self.outlines.part(rows))


class Residuals:
    """Residuals of posed hands against evidence and prior, for one hand model.

    Attributes:
      chain: the skeleton.
      prior, prior_mean: rows [55, 61] that map beta and theta to deviations from the prior, and its mean [55].
      limits, low, high: rows [45, 61] that map theta to the joints' angles in standard deviations, and their limits [45].
    """

    def __init__(self, hand: HandModel, deviations: Deviations = Deviations()):
        self.chain, self.deviations = Chain(hand), deviations
        self.prior, self.prior_mean = _prior(hand, deviations)
        self.limits, self.low, self.high = _limits(hand, deviations.limits)
        self._hand = hand

    def __call__(self, evidence: Evidence, hands: Hands) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
        """Residuals [N, M], and a function that gives their derivatives [N, M, 61].

        The derivatives are those by the parameters of `Chain.derivatives`. Whoever only compares costs does without them.
        """
        posed = self.chain.posed(hands)
        parts = [self._joints_2d(evidence, posed.joints), self._directions(evidence, posed.joints)]
        if evidence.joints_3d_weight.any():
            parts.append(self._joints_3d(evidence, posed.joints))
        if evidence.outlines is not None:
            outline = OutlineResiduals(self.skin, self.deviations.outline)
            parts.append(outline(evidence.outlines, evidence.intrinsics, evidence.box, posed))
        parts += [self._naturalness(hands), self._beyond_limits(hands)]

        def derivatives():
            of_joints = self.chain.derivatives(posed)
            return np.concatenate([moves(of_joints) for _, moves in parts], axis=1)

        return np.concatenate([error for error, _ in parts], axis=1), derivatives

    @cached_property
    def skin(self) -> Skin:
        """The surface of the hand model, made when it is first needed."""
        return Skin(self._hand)

    # Each of the following gives residuals [N, K], and a function from the derivatives of the joints [N, 21, 3, 61] to
    # those of the residuals [N, K, 61].

    def _joints_2d(self, known, joints):
        depth = np.maximum(joints[..., 2:], MIN_DEPTH)
        flat = joints[..., :2] / depth
        focal = known.intrinsics[:, np.newaxis, [0, 1], [0, 1]]
        error = flat * focal + known.intrinsics[:, np.newaxis, :2, 2] - known.joints_2d
        scale = np.sqrt(known.joints_2d_weight) / (self.deviations.joints_2d * known.box[:, np.newaxis])

        def moves(table):
            return (table[..., :2, :] - flat[..., np.newaxis] * table[..., 2:, :]) * (focal / depth)[..., np.newaxis]

        return _weighted(error, moves, scale)

    def _directions(self, known, joints):
        between = lambda x: x[:, BONES[:, 1]] - x[:, BONES[:, 0]]
        bones = between(joints)
        length = np.linalg.norm(bones, axis=-1, keepdims=True)
        unit = bones / length

        def moves(table):
            moved = between(table)
            return (moved - unit[..., np.newaxis] * (unit[..., np.newaxis, :] @ moved)) / length[..., np.newaxis]

        return _weighted(unit - known.directions, moves, np.sqrt(known.directions_weight) / self.deviations.directions)

    def _joints_3d(self, known, joints):
        error = (joints - joints[:, :1]) - (known.joints_3d - known.joints_3d[:, :1])
        scale = np.sqrt(known.joints_3d_weight) / self.deviations.joints_3d
        return _weighted(error, lambda table: table - table[:, :1], scale)

    def _naturalness(self, hands):
        """Residuals of the Gaussian priors of theta (along its principal directions) and beta."""
        count = len(hands.shape)
        parameters = np.concatenate([hands.shape, hands.pose.reshape(count, -1)], axis=1) - self.prior_mean
        moves = np.broadcast_to(self.prior, (count, *self.prior.shape))
        return parameters @ self.prior[:, : len(self.prior_mean)].T, lambda _: moves

    def _beyond_limits(self, hands):
        """Residuals of flexion, abduction and twist beyond the limits of the joints."""
        angles = hands.pose.reshape(-1, 45) @ self.limits[:, POSE].T
        beyond = np.maximum(angles - self.high, 0) + np.minimum(angles - self.low, 0)
        return beyond, lambda _: self.limits * (beyond != 0)[..., np.newaxis]


def directions_of(joints: np.ndarray) -> np.ndarray:
    """Unit vectors [N, 20, 3] from parent to child of each bone of 3D joints [N, 21, 3]; 0 for a bone without length."""
    bones = joints[:, BONES[:, 1]] - joints[:, BONES[:, 0]]
    return bones / np.maximum(np.linalg.norm(bones, axis=-1, keepdims=True), 1e-9)


def _weighted(error, moves, scale):
    """Multiplies errors [N, K, C] and what `moves` gives [N, K, C, 61] by [N, K], and flattens K and C to rows."""
    count = len(error)
    scaled = lambda table: (moves(table) * scale[..., np.newaxis, np.newaxis]).reshape(count, -1, NUM_PARAMETERS)
    return (error * scale[..., np.newaxis]).reshape(count, -1), scaled


def _prior(hand, deviations):
    """Rows [55, 61] that map beta and theta to deviations from the prior, and the prior's mean [55]."""
    spread = np.sqrt(np.square(hand.pose_deviations.astype(float)) + deviations.pose**2)
    rows = np.zeros((NUM_SHAPE + 45, NUM_PARAMETERS))
    rows[:NUM_SHAPE, SHAPE] = np.eye(NUM_SHAPE) / deviations.shape
    rows[NUM_SHAPE:, POSE] = hand.pose_basis / spread[:, np.newaxis]
    return rows, np.concatenate([np.zeros(NUM_SHAPE), hand.pose_mean])


def _limits(hand, deviation):
    """Rows [45, 61] that give flexion, abduction and twist of each joint; their lower and upper limits [45].

    All three are in units of the standard deviation.
    """
    axes, limits = joint_limits(hand)
    rows = np.zeros((15, 3, NUM_PARAMETERS))
    for joint in range(15):
        first = NUM_SHAPE + 3 * joint
        rows[joint, :, first : first + 3] = axes[joint]
    low, high = np.moveaxis(limits.reshape(45, 2) / deviation, -1, 0)
    return rows.reshape(45, -1) / deviation, low, high
