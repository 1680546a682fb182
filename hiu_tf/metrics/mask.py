"""Errors of masks."""

import numpy as np


def iou(predicted: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Intersection over union of masks [B, H, W] cut at 0.5, [B]; 1 where both are empty."""
    a, b = predicted > 0.5, labelled > 0.5
    union = (a | b).sum(axis=(1, 2))
    return np.where(union > 0, (a & b).sum(axis=(1, 2)) / np.maximum(union, 1), 1.0)
