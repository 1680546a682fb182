"""Fits the predicted hand model to the joints of the heat maps in a graph: the twin of runtime/evidence_fit.py for servers.

Residuals, prior, limits and steps are those of `hiu_tf.fit`; TensorFlow differentiates the residuals. In float64.
"""

from __future__ import annotations

import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import BONES
from hiu_tf.fit import solve
from hiu_tf.fit.chain import FINGERS, NUM_PARAMETERS, PARENTS, POSE, ROTATION, SHAPE, THETA, TRANSLATION
from hiu_tf.fit.evidence import Residuals
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.geometry.tensor.camera import project
from hiu_tf.geometry.tensor.rotation import compose, rotation_matrix
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.model import HandModel
from hiu_tf.runtime.evidence_fit import DEVIATIONS, FEWEST, READABLE, STEPS

_PARAMETERS = (keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION)


class GraphFit:
    """Fits the regressor's hands to the joints of the heat maps.

    Args:
      hand: the right hand model that the network poses.
      size: side of the crops.
    """

    def __init__(self, hand: HandModel, size: int):
        self._hand, self._residuals, self._camera = (
            hand,
            Residuals(hand, DEVIATIONS),
            virtual_intrinsics(size).astype(float),
        )

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns a batch of outputs, which may be empty, with fitted parameters, mesh, 3D joints and projected joints."""
        return tf.cond(tf.shape(raw[keys.SCORES])[0] > 0, lambda: self._fitted(raw), lambda: dict(raw))

    def _fitted(self, raw):
        readable = tf.reduce_sum(tf.cast(raw[keys.SCORES] > READABLE, tf.int32), axis=1) >= FEWEST
        hands = self._refined(_evidence(raw), [tf.cast(raw[name], tf.float64) for name in _PARAMETERS])
        parameters = {
            name: tf.where(_like(readable, raw[name]), tf.cast(value, tf.float32), raw[name])
            for name, value in zip(_PARAMETERS, hands)
        }
        posed = pose_hand(self._hand, *parameters.values())
        flat = project(tf.cast(posed[keys.JOINTS_3D], tf.float64), self._camera)
        return raw | parameters | posed | {keys.JOINTS_2D_PROJECTED: tf.cast(flat, tf.float32)}

    def _refined(self, evidence, hands):
        """Levenberg-Marquardt as in `fit.solve.refine`."""
        damping = tf.fill([tf.shape(hands[0])[0], 1], tf.constant(solve.DAMPING, tf.float64))
        for _ in range(STEPS):
            error, moves = self._linearized(evidence, hands)
            weight, cost = _robust(error)
            weighted = moves * weight[..., tf.newaxis]
            normal = tf.matmul(weighted, moves, transpose_a=True)
            diagonal = tf.linalg.diag_part(normal) * (1 + damping) + 1e-9
            uphill = tf.matmul(weighted, error[..., tf.newaxis], transpose_a=True)
            step = -tf.linalg.solve(tf.linalg.set_diag(normal, diagonal), uphill)[..., 0]
            tried = _moved(hands, step)
            better = _robust(self._error(evidence, tried, tf.zeros_like(step)))[1] < cost
            hands = [tf.where(_like(better, old), new, old) for new, old in zip(tried, hands)]
            damping *= tf.where(better[:, tf.newaxis], tf.constant(solve.EASE, tf.float64), solve.STIFFEN)
            damping = tf.clip_by_value(damping, 1e-8, 1e6)
        return hands

    def _linearized(self, evidence, hands):
        """Residuals [N, M] and their derivatives [N, M, 61] with respect to a step of the parameters."""
        still = tf.zeros([tf.shape(hands[0])[0], NUM_PARAMETERS], tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(still)
            error = self._error(evidence, hands, still)
        return error, tape.batch_jacobian(error, still)

    def _error(self, evidence, hands, step):
        """The residuals of `fit.evidence.Residuals` without measured 3D joints, [N, M], after a step [N, 61]."""
        seen, seen_weight, box, directions = evidence
        shape, pose, rotation, translation = hands
        shape, pose, translation = (
            shape + step[:, SHAPE],
            pose + tf.reshape(step[:, POSE], [-1, 15, 3]),
            translation + step[:, TRANSLATION],
        )
        turn = tf.matmul(rotation_matrix(step[:, ROTATION]), rotation_matrix(rotation))
        joints = self._joints(shape, pose, turn, translation)
        off = (project(joints, self._camera) - seen) * (tf.sqrt(seen_weight) / (DEVIATIONS.joints_2d * box))[
            ..., tf.newaxis
        ]
        bones = _bones(joints)
        turned = (bones / tf.norm(bones, axis=-1, keepdims=True) - directions) / DEVIATIONS.directions
        flat = tf.reshape(pose, [-1, 45])
        rows, of_pose = self._residuals.prior[:, : len(self._residuals.prior_mean)].T, self._residuals.limits[:, POSE].T
        unlikely = tf.matmul(tf.concat([shape, flat], axis=1) - self._residuals.prior_mean, rows)
        angles = tf.matmul(flat, of_pose)
        beyond = tf.maximum(angles - self._residuals.high, 0) + tf.minimum(angles - self._residuals.low, 0)
        count = tf.shape(shape)[0]
        return tf.concat([tf.reshape(off, [count, 42]), tf.reshape(turned, [count, 60]), unlikely, beyond], axis=1)

    def _joints(self, shape, pose, rotation, translation):
        """Joints [N, 21, 3], as `fit.chain.Chain.joints`."""
        chain, local = self._residuals.chain, rotation_matrix(pose)
        rest = chain.points + tf.reshape(tf.matmul(shape, chain.moves.reshape(-1, shape.shape[1]).T), [-1, 21, 3])
        last = (rest[:, 0] + translation)[:, tf.newaxis]
        frames, placed = rotation[:, tf.newaxis], []
        for place in range(4):
            bones = tf.gather(rest, FINGERS[:, place], axis=1) - tf.gather(rest, PARENTS[:, place], axis=1)
            placed.append((placed[-1] if placed else last) + _rotate(frames, bones))
            if place < 3:
                frames = tf.matmul(frames, tf.gather(local, THETA[:, place], axis=1))
        return tf.concat([last, tf.reshape(tf.stack(placed, axis=2), [-1, 20, 3])], axis=1)


def _evidence(raw):
    """2D joints, their weights, the hands' sizes and the directions of their bones, float64."""
    seen, joints, scores = (tf.cast(raw[name], tf.float64) for name in (keys.JOINTS_2D, keys.JOINTS_3D, keys.SCORES))
    weight = tf.where(scores > READABLE, tf.clip_by_value(scores, 0, 1), tf.zeros_like(scores)) ** 2
    extent = tf.reduce_max(seen, axis=1) - tf.reduce_min(seen, axis=1)
    box = tf.maximum(
        tf.reduce_max(extent, axis=1, keepdims=True), 1e-9
    )  # 0 for a hand without maps, whose weights are 0
    bones = _bones(joints)
    return seen, weight, box, bones / tf.maximum(tf.norm(bones, axis=-1, keepdims=True), 1e-9)


def _bones(joints):
    """Vectors [N, 20, 3] from parent to child of each bone."""
    return tf.gather(joints, BONES[:, 1], axis=1) - tf.gather(joints, BONES[:, 0], axis=1)


def _moved(hands, step):
    shape, pose, rotation, translation = hands
    return [
        shape + step[:, SHAPE],
        pose + tf.reshape(step[:, POSE], [-1, 15, 3]),
        compose(step[:, ROTATION], rotation),
        translation + step[:, TRANSLATION],
    ]


def _robust(error):
    """Huber's weights [N, M] and cost [N], as in `fit.solve`."""
    size = tf.abs(error)
    inside = size <= solve.OUTLIER
    weight = tf.where(inside, tf.ones_like(size), solve.OUTLIER / tf.maximum(size, 1e-12))
    cost = tf.where(inside, 0.5 * size**2, solve.OUTLIER * (size - 0.5 * solve.OUTLIER))
    return weight, tf.reduce_sum(cost, axis=1)


def _rotate(rotations, points):
    return tf.linalg.matvec(rotations, points)


def _like(chosen, values):
    """Reshapes [N] so that it broadcasts with values [N, ...]."""
    return tf.reshape(chosen, [-1, *[1] * (len(values.shape) - 1)])
