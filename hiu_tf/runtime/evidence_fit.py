"""Fits the predicted hand model to the joints of the heat maps of the same prediction, and to its mask. NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.errors import UserError
from hiu_tf.fit.chain import Hands
from hiu_tf.fit.evidence import Deviations, Evidence, Residuals, directions_of
from hiu_tf.fit.outline import outlines_of
from hiu_tf.fit.solve import refine
from hiu_tf.geometry.camera import project
from hiu_tf.geometry.rotation import axis_angle, rotation_matrix
from hiu_tf.hand.model import HandModel

#: Joints of the heat maps are accurate; the regressor's directions of bones are right but less accurate.
DEVIATIONS = Deviations(joints_2d=0.016, directions=0.2, pose=0.15)
STEPS = 2
#: Further steps that go on with the mask, sampled on so many cells. Their result counts if the mean distance of the joints
#: from those of the heat maps grows by less than this share of the hand's box; otherwise the mask shows something else.
MASK_STEPS, MASK_CELLS, MOST_MOVED = 1, 96, 0.01
#: Hands with fewer joints above the minimum peak keep the regressor's prediction. (The second number equals READABLE
#: of codecs/heatmap.py, which needs TensorFlow.)
FEWEST, READABLE = 8, 0.2


class EvidenceFit:
    """Fits the regressor's hand to the joints of the heat maps, and then to the mask if that is wanted.

    Args:
      hand: the right hand model that the network poses.
      camera: K [3, 3] of the crop.
      to_mask: whether to fit to the mask too.
    """

    def __init__(self, hand: HandModel, camera: np.ndarray, to_mask: bool = False):
        self._residuals, self._camera, self._to_mask = Residuals(hand, DEVIATIONS), camera, to_mask
        self._skin = self._residuals.skin  # made at the start, not at the first hand

    def __call__(
        self,
        raw: dict[str, np.ndarray],
        shape: np.ndarray | None = None,
        in_picture: Callable[[], np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of one crop with fitted parameters, mesh, 3D joints and projected joints.

        Args:
          raw: the network's outputs for one crop.
          shape: [10], beta if it is known; None: it is fitted too.
          in_picture: gives [S, S], whether each pixel of the crop lies in the picture; elsewhere the mask is no evidence.
            None: all do.

        Raises:
          UserError: the hand is to be fitted to the mask, but there is none.
        """
        if (raw[keys.SCORES] > READABLE).sum() < FEWEST:
            return raw
        start = Hands(
            (raw[keys.SHAPE] if shape is None else shape)[np.newaxis].astype(float),
            raw[keys.POSE].reshape(1, 15, 3).astype(float),
            rotation_matrix(raw[keys.ROTATION].astype(float))[np.newaxis],
            raw[keys.TRANSLATION][np.newaxis].astype(float),
        )
        evidence, hold_shape = self._evidence(raw), shape is not None
        posed = self._residuals.chain.posed(refine(self._residuals, evidence, start, STEPS, hold_shape)[0])
        if self._to_mask:
            if keys.MASK not in raw:
                raise UserError(
                    "the model gives no mask to fit to: export it with masks, or omit --fit-mask (fit_mask)"
                )
            known = in_picture and in_picture()
            posed = self._fitted_to_mask(posed, evidence, raw[keys.MASK], known, hold_shape)
        hands, joints = posed.hands, posed.joints[0]
        return raw | {
            keys.SHAPE: hands.shape[0],
            keys.POSE: hands.pose[0],
            keys.ROTATION: axis_angle(hands.rotation[0]),
            keys.TRANSLATION: hands.translation[0],
            keys.JOINTS_3D: joints,
            keys.VERTICES: self._skin.surface(posed).vertices[0],
            keys.JOINTS_2D_PROJECTED: project(joints, self._camera),
        }

    def _fitted_to_mask(self, posed, evidence, mask, known, hold_shape):
        masks = [mask.reshape(mask.shape[:2]) > 0.5]
        outlines = outlines_of(masks, evidence.joints_2d, np.ones(1), [known], MASK_CELLS)
        with_mask = replace(evidence, outlines=outlines)
        tried = self._residuals.chain.posed(refine(self._residuals, with_mask, posed.hands, MASK_STEPS, hold_shape)[0])
        before, after = (self._distance(found.joints[0], evidence) for found in (posed, tried))
        return tried if after - before < MOST_MOVED else posed

    def _distance(self, joints, evidence):
        """Mean distance of the projected joints from those of the heat maps, weighted by their scores; share of the box."""
        flat = project(joints, self._camera)
        distance = np.linalg.norm(flat - evidence.joints_2d[0], axis=1) / max(evidence.box[0], 1e-6)
        return np.average(distance, weights=evidence.joints_2d_weight[0])

    def _evidence(self, raw):
        joints_2d, joints_3d = (raw[name][np.newaxis].astype(float) for name in (keys.JOINTS_2D, keys.JOINTS_3D))
        scores = raw[keys.SCORES].astype(float)
        return Evidence(
            joints_2d=joints_2d,
            joints_2d_weight=(np.where(scores > READABLE, np.clip(scores, 0, 1), 0) ** 2)[np.newaxis],
            intrinsics=self._camera[np.newaxis],
            box=np.ptp(joints_2d, axis=1).max(axis=1),
            directions=directions_of(joints_3d),
            directions_weight=np.ones((1, 20)),
            joints_3d=joints_3d,
            joints_3d_weight=np.zeros((1, 21)),
        )
