"""Hands whose side is not labelled are measured as `hiu predict` predicts them: as the side that the network sees."""

from __future__ import annotations

import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.evaluation.predictors import Predict

_POINTS_2D = (keys.JOINTS_2D, keys.JOINTS_2D_PROJECTED)
_POINTS_3D = (keys.JOINTS_3D, keys.VERTICES)
_MASKS = (keys.MASK, keys.RENDERED_MASK)


def as_seen(predict: Predict, image: np.ndarray, known: np.ndarray) -> dict[str, np.ndarray]:
    """Predicts; a hand of unknown side that the network takes for a left one is predicted again from its mirror image.

    The network expects right hands, and crops of unknown side are not mirrored.

    Args:
      predict: the predictor.
      image: crops [B, S, S, 3].
      known: [B] bool, whether the side is labelled.

    Returns:
      The predictions in the frame of the given crops. Hand parameters describe the mirror image, a right hand.
    """
    predicted = predict(image)
    if keys.RIGHT not in predicted:
        return predicted
    left = ~known & (predicted[keys.RIGHT] < 0.5)
    if not left.any():
        return predicted
    again = mirrored(predict(image[left, :, ::-1]), image.shape[2])
    merged = {name: value.copy() for name, value in predicted.items()}
    for name in merged.keys() - {keys.RIGHT}:
        merged[name][left] = again[name]
    return merged


def mirrored(predicted: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    """Mirrors points and masks of predictions: x -> S - 1 - x in a crop of side S, x -> -x in its camera's frame."""
    changed = {name: predicted[name].copy() for name in (*_POINTS_2D, *_POINTS_3D) if name in predicted}
    for name, points in changed.items():
        points[..., 0] = (size - 1 if name in _POINTS_2D else 0) - points[..., 0]
    changed |= {name: predicted[name][:, :, ::-1] for name in _MASKS if name in predicted}
    return predicted | changed
