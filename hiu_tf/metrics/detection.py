"""Metrics of hand scores (hand or no hand) and of a detector's boxes. NumPy."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

#: Minimum intersection over union for a box to match a hand.
FOUND = 0.5


def separation_auc(hands: np.ndarray, none: np.ndarray) -> float:
    """ROC AUC: probability that a picture with a hand [N] scores higher than one without [M]; ties count half."""
    ranks = rankdata(np.concatenate([hands, none]))[: len(hands)]
    return float((ranks.sum() - len(hands) * (len(hands) + 1) / 2) / (len(hands) * len(none)))


def best_threshold(hands: np.ndarray, none: np.ndarray) -> float:
    """The threshold with the largest sum of true positive rate (hands) and true negative rate (pictures without)."""
    places = np.unique(np.concatenate([hands, none]))
    places = np.concatenate([places[:1], (places[1:] + places[:-1]) / 2])
    kept = 1 - np.searchsorted(np.sort(hands), places) / len(hands)
    refused = np.searchsorted(np.sort(none), places) / len(none)
    return float(places[np.argmax(kept + refused)])


def assigned(found: np.ndarray, scores: np.ndarray, hands: np.ndarray) -> np.ndarray:
    """Matches predicted boxes with hands, in descending order of score: [F] row of `hands`, -1 for no match.

    Args:
      found: [F, 4] predicted boxes (x, y, width, height).
      scores: [F].
      hands: [N, 4] labelled boxes.
    """
    shown, free = np.full(len(found), -1), np.ones(len(hands), bool)
    shared = overlaps(found, hands)
    for row in np.argsort(-np.asarray(scores), kind="stable"):
        best = np.argmax(np.where(free, shared[row], -1.0)) if free.any() else None
        if best is not None and shared[row, best] >= FOUND:
            shown[row], free[best] = best, False
    return shown


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union [A, B] of boxes [A, 4] and [B, 4]."""
    a, b = np.reshape(a, (-1, 1, 4)).astype(float), np.reshape(b, (1, -1, 4)).astype(float)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    return shared / np.maximum(np.prod(a[..., 2:], axis=-1) + np.prod(b[..., 2:], axis=-1) - shared, 1e-9)


def average_precision(scores: np.ndarray, right: np.ndarray, hands: int) -> float:
    """Area under the precision-recall curve, with monotonic precision as in COCO, but at every recall.

    Args:
      scores: [F] scores of all predicted boxes.
      right: [F] bool, whether the box matches a hand.
      hands: number of labelled hands.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    hits = np.cumsum(np.asarray(right)[order])
    precision = hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(precision * np.asarray(right)[order]) / max(hands, 1))
