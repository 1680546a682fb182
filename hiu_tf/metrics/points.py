"""Errors of points: distances, PCK curves and the area under them."""

import numpy as np


def distances(predicted: np.ndarray, labelled: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Euclidean distances [B, N]; NaN where the label's weight is 0."""
    error = np.linalg.norm(predicted - labelled, axis=-1)
    return np.where(weight > 0, error, np.nan)


def pck_auc(errors: np.ndarray, low: float, high: float, steps: int) -> float:
    """Area under the PCK curve, normalised to [0, 1].

    As in the common tool kits (docs/paper.md): for each point, the share of errors <= threshold at
    linspace(low, high, steps) and the trapezoid rule; then the mean over points.

    Args:
      errors: [B, N], NaN where not labelled.
    """
    thresholds = np.linspace(low, high, steps)
    areas = []
    for column in errors.T:
        column = column[~np.isnan(column)]
        if len(column):
            curve = (column[:, np.newaxis] <= thresholds).mean(axis=0)
            areas.append(area(curve, thresholds))
    return float(np.mean(areas)) if areas else float("nan")


def area(curve: np.ndarray, thresholds: np.ndarray, rule: str = "trapezoid") -> float:
    """Area under a PCK curve, as a share of the range."""
    if rule == "mean":
        return float(np.mean(curve))
    heights = (curve[1:] + curve[:-1]) / 2
    return float((heights * np.diff(thresholds)).sum() / (thresholds[-1] - thresholds[0]))
