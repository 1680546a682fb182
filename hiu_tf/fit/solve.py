"""Levenberg-Marquardt for many hands at once, and its starting points. NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hiu_tf.conventions.skeleton import Joint
from hiu_tf.fit.chain import SHAPE, Chain, Hands
from hiu_tf.fit.evidence import Evidence, Residuals
from hiu_tf.hand.poses import gesture_pose

#: Gestures from which a fit without an initial guess starts.
STARTS = ("relaxed", "open", "fist")
_PALM = [Joint.WRIST, Joint.INDEX1, Joint.MIDDLE1, Joint.RING1, Joint.LITTLE1]
#: Threshold of the Huber loss in standard deviations, which limits the influence of a single wrong joint.
OUTLIER = 3.0
DAMPING, EASE, STIFFEN = 1e-2, 0.3, 8.0


def refine(
    residuals: Residuals, evidence: Evidence, hands: Hands, steps: int = 20, hold_shape: bool = False
) -> tuple[Hands, np.ndarray]:
    """Fits N hands to their evidence from a given start.

    Args:
      residuals: of the hand model.
      evidence: of N hands.
      hands: initial parameters.
      steps: number of Levenberg-Marquardt steps; each solves 61 equations per hand.
      hold_shape: leave beta as it is.

    Returns:
      The fitted hands, and their costs [N]: half the sum of squared residuals, with Huber's robust loss.
    """
    damping = np.full(len(hands.shape), DAMPING)
    error, derivatives = residuals(evidence, hands)
    weight, cost = _robust(error)
    moves = derivatives() if steps else None
    for step in range(1, steps + 1):
        if hold_shape:
            moves[..., SHAPE] = 0
        weighted = moves * weight[..., np.newaxis]
        normal = np.swapaxes(weighted, 1, 2) @ moves
        uphill = (error[:, np.newaxis] @ weighted)[:, 0]
        every = np.arange(normal.shape[1])
        normal[:, every, every] *= 1 + damping[:, np.newaxis]
        normal[:, every, every] += 1e-9
        tried = hands.moved(-np.linalg.solve(normal, uphill[..., np.newaxis])[..., 0])
        new_error, derivatives = residuals(evidence, tried)
        new_weight, new_cost = _robust(new_error)
        better = new_cost < cost
        hands, cost = tried.where(better, hands), np.where(better, new_cost, cost)
        if step < steps and better.any():
            pairs = (new_error, error), (new_weight, weight), (derivatives(), moves)
            error, weight, moves = (np.where(better.reshape(-1, *[1] * (old.ndim - 1)), new, old) for new, old in pairs)
        damping = np.clip(damping * np.where(better, EASE, STIFFEN), 1e-8, 1e6)
    return hands, cost


def fit(residuals: Residuals, evidence: Evidence, steps: int = 20) -> tuple[Hands, np.ndarray]:
    """Fits hands from several starts and keeps the best fit of each hand. Returns hands and costs [N] like `refine`."""
    best = None
    for gesture in STARTS:
        hands, cost = refine(residuals, evidence, start(residuals.chain, evidence, gesture_pose(gesture)), steps)
        if best is not None:
            better = cost < best[1]
            hands, cost = hands.where(better, best[0]), np.where(better, cost, best[1])
        best = hands, cost
    return best


def start(chain: Chain, evidence: Evidence, pose: np.ndarray) -> Hands:
    """Hands of mean shape in one pose [15, 3], rotated and translated to match the palm of the evidence."""
    count = len(evidence.box)
    bones = _unit(chain.points[_PALM[1:]] - chain.points[0])
    u, _, vt = np.linalg.svd(np.einsum("nbi,bj->nij", _palm_directions(evidence), bones))
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, np.newaxis]
    shape, poses = np.zeros((count, 10)), np.repeat(pose[np.newaxis], count, axis=0)
    hands = Hands(shape, poses, u @ vt, np.zeros((count, 3)))
    return replace(hands, translation=_place(chain.joints(hands), evidence))


def _palm_directions(evidence):
    """Unit vectors [N, 4, 3] from the wrist to the four finger roots, by 3D joints or else by directions of bones."""
    by_joints = _unit(evidence.joints_3d[:, _PALM[1:]] - evidence.joints_3d[:, :1])
    known = evidence.joints_3d_weight[:, _PALM].min(axis=1) > 0
    by_bones = evidence.directions[:, [joint - 1 for joint in _PALM[1:]]]  # bone b ends in joint b + 1
    return np.where(known[:, np.newaxis, np.newaxis], by_joints, by_bones)


def _place(joints, evidence):
    """T [N, 3] for which joints [N, 21, 3] (wrist at the origin) project to the place and size of the 2D joints."""
    camera = evidence.intrinsics[:, np.newaxis]
    seen = (evidence.joints_2d - camera[..., :2, 2]) / camera[..., [0, 1], [0, 1]]
    weight = evidence.joints_2d_weight / np.maximum(evidence.joints_2d_weight.sum(axis=1, keepdims=True), 1e-9)
    (middle, size), (seen_middle, seen_size) = (_spread(points, weight) for points in (joints[..., :2], seen))
    depth = (size / np.maximum(seen_size, 1e-6))[:, np.newaxis]
    return np.concatenate([seen_middle * depth - middle, depth], axis=1)


def _spread(points, weight):
    """Weighted mean [N, 2] and standard deviation [N] of points [N, 21, 2]."""
    middle = np.einsum("nj,njc->nc", weight, points)
    return middle, np.sqrt(np.einsum("nj,njc->n", weight, np.square(points - middle[:, np.newaxis])))


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _robust(error):
    """Huber's weights [N, M] and cost [N]."""
    size = np.abs(error)
    inside = size <= OUTLIER
    weight = np.where(inside, 1.0, OUTLIER / np.maximum(size, 1e-12))
    cost = np.where(inside, 0.5 * size**2, OUTLIER * (size - 0.5 * OUTLIER))
    return weight, cost.sum(axis=1)
