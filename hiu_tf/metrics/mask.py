"""Metrics of masks."""

from __future__ import annotations

import cv2
import numpy as np

from hiu_tf.conventions import keys

_TOLERANCE = 0.008  # of the diagonal, as in DAVIS


def in_picture(labels: dict, values):
    """Values of pixels [B, H, W], arrays or tensors, set to 0 beyond the edges of the pictures, where a hand may go on."""
    return values * labels[keys.IN_PICTURE][..., 0] if keys.IN_PICTURE in labels else values


def iou(predicted: np.ndarray, labelled: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Intersection over union of masks [B, H, W] cut at 0.5, [B]; 1 where both are empty.

    Only pixels count that are `known` [B, H, W]; None: all.
    """
    return _overlap(*_cut(predicted, labelled, known)[:2])


def mean_iou(predicted: np.ndarray, labelled: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """IoU of the hand and of the background, [B, 2], of `known` pixels; the mean of both is the mIoU."""
    # The background is the complement of the thresholded hand, so that values of exactly 0.5 count once.
    a, b, known = _cut(predicted, labelled, known)
    return np.stack([_overlap(a, b), _overlap(known & ~a, known & ~b)], axis=1)


def boundary_f(predicted: np.ndarray, labelled: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """F-score of outlines, [B]: a pixel matches within 0.8% of the picture's diagonal of the other outline.

    1 where neither mask has an outline, 0 where one has none (Perazzi et al. 2016). The outline lies among `known` pixels.
    """
    return np.array([_boundary_f(*masks) for masks in zip(*_cut(predicted, labelled, known))])


def _cut(predicted, labelled, known):
    """Both masks cut at 0.5 and cleared where they are not known; what is known."""
    known = np.ones(np.shape(labelled), bool) if known is None else known
    return (predicted > 0.5) & known, (labelled > 0.5) & known, known


def _overlap(a, b):
    union = (a | b).sum(axis=(1, 2))
    return np.where(union > 0, (a & b).sum(axis=(1, 2)) / np.maximum(union, 1), 1.0)


def _boundary_f(a, b, known):
    lines = [_outline(mask, known) for mask in (a, b)]
    if not lines[0].any() or not lines[1].any():
        return float(lines[0].any() == lines[1].any())
    radius = int(np.ceil(_TOLERANCE * np.hypot(*a.shape)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    near = [cv2.dilate(line, disk) for line in lines]
    precision, recall = (lines[0] & near[1]).sum() / lines[0].sum(), (lines[1] & near[0]).sum() / lines[1].sum()
    return float(2 * precision * recall / max(precision + recall, 1e-12))


def _outline(mask, known):
    """Pixels of the mask that have a known neighbour outside it; the picture's edge is no outline."""
    outside = cv2.dilate((known & ~mask).astype(np.uint8), np.ones((3, 3), np.uint8))
    return mask.astype(np.uint8) & outside
