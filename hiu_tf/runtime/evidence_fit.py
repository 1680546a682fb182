"""Fits the predicted hand model to the joints of the heat maps of the same prediction. NumPy."""

from __future__ import annotations

import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.fit.chain import Hands
from hiu_tf.fit.evidence import Deviations, Evidence, Residuals, directions_of
from hiu_tf.fit.solve import refine
from hiu_tf.geometry.camera import project
from hiu_tf.geometry.rotation import axis_angle, rotation_matrix
from hiu_tf.hand.model import HandModel

#: Joints of the heat maps are accurate; the regressor's directions of bones are right but less accurate.
DEVIATIONS = Deviations(joints_2d=0.02, directions=0.2, pose=0.15)
STEPS = 2
#: Hands with fewer joints above the minimum peak keep the regressor's prediction. (The second number equals READABLE
#: of codecs/heatmap.py, which needs TensorFlow.)
FEWEST, READABLE = 8, 0.2


class EvidenceFit:
    """Fits the regressor's hand to the joints of the heat maps.

    Args:
      hand: the right hand model that the network poses.
      camera: K [3, 3] of the crop.
    """

    def __init__(self, hand: HandModel, camera: np.ndarray):
        self._residuals, self._camera = Residuals(hand, DEVIATIONS), camera
        self._skin = self._residuals.skin  # made at the start, not at the first hand

    def __call__(self, raw: dict[str, np.ndarray], shape: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Returns the outputs of one crop with fitted parameters, mesh, 3D joints and projected joints.

        Args:
          raw: the network's outputs for one crop.
          shape: [10], beta if it is known; None: it is fitted too.
        """
        if (raw[keys.SCORES] > READABLE).sum() < FEWEST:
            return raw
        start = Hands(
            (raw[keys.SHAPE] if shape is None else shape)[np.newaxis].astype(float),
            raw[keys.POSE].reshape(1, 15, 3).astype(float),
            rotation_matrix(raw[keys.ROTATION].astype(float))[np.newaxis],
            raw[keys.TRANSLATION][np.newaxis].astype(float),
        )
        hands, _ = refine(self._residuals, self._evidence(raw), start, STEPS, shape is not None)
        joints = self._residuals.chain.joints(hands)[0]
        return raw | {
            keys.SHAPE: hands.shape[0],
            keys.POSE: hands.pose[0],
            keys.ROTATION: axis_angle(hands.rotation[0]),
            keys.TRANSLATION: hands.translation[0],
            keys.JOINTS_3D: joints,
            keys.VERTICES: self._skin(hands)[0],
            keys.JOINTS_2D_PROJECTED: project(joints, self._camera),
        }

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
