"""Labels by agreement: a hand is predicted through several windows, and where they agree, their median is a label."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.geometry.window import around_hand, box_of
from hiu_tf.runtime.crop import cut

if TYPE_CHECKING:
    from hiu_tf.runtime.prediction import Prediction
    from hiu_tf.runtime.predictor import Predictor

#: The windows: turned by so many radians, of so many times the side, moved by so many sides to the right and down.
_VIEWS = (
    (0.0, 1.0, 0.0, 0.0),
    (0.25, 1.1, 0.03, 0.0),
    (-0.25, 0.95, 0.0, 0.04),
    (0.12, 0.9, -0.04, 0.02),
    (-0.12, 1.2, 0.03, -0.03),
    (0.35, 1.0, 0.0, -0.03),
)


class Agreement(NamedTuple):
    """What the views say of a hand.

    Attributes:
      joints_2d: [21, 2] median over the views, pixels of the picture.
      spread: mean distance of the views' joints from the median, as a share of the longer side of the box around it.
      score: mean confidence of the joints over all views.
    """

    joints_2d: np.ndarray
    spread: float
    score: float


def agreement(predictor: Predictor, hand: Prediction) -> Agreement:
    """Predicts a hand again through windows around it that differ in angle, size and place."""
    window = around_hand(hand.joints_2d, hand.crop, predictor.scale)
    views = [_moved(window, *view) for view in _VIEWS]
    outputs = predictor.network(np.stack([cut(hand.picture, view) for view in views]))
    joints = np.stack([view.to_picture(found) for view, found in zip(views, outputs[keys.JOINTS_2D])])
    median = np.median(joints, axis=0)
    spread = np.linalg.norm(joints - median, axis=-1).mean() / max(box_of(median)[2:])
    return Agreement(median, float(spread), float(outputs[keys.SCORES].mean()))


def _moved(window, turn, size, right, down):
    centre = window.centre[0] + right * window.side, window.centre[1] + down * window.side
    return replace(window, angle=window.angle + turn, side=size * window.side, centre=centre)
