"""Alignment of predicted with labelled 3D points before errors are computed. NumPy, batched."""

import numpy as np


def procrustes(points: np.ndarray, target: np.ndarray, reflection: bool = False) -> np.ndarray:
    """Aligns points [B, N, 3] with their targets [B, N, 3] by the similarity (rotation, scale, translation) of least
    squares (Umeyama, 1991), and returns the aligned points.

    With `reflection` a mirror image is allowed too, as in FreiHAND's official script.
    """
    mean, target_mean = points.mean(axis=1, keepdims=True), target.mean(axis=1, keepdims=True)
    centred, target_centred = points - mean, target - target_mean
    u, s, vt = np.linalg.svd(np.swapaxes(target_centred, 1, 2) @ centred)
    sign = np.ones_like(s)
    if not reflection:
        sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[:, np.newaxis]) @ vt
    scale = (s * sign).sum(axis=1) / np.maximum((centred**2).sum(axis=(1, 2)), 1e-24)
    return scale[:, np.newaxis, np.newaxis] * centred @ np.swapaxes(rotation, 1, 2) + target_mean


def is_mirrored(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Whether a mirror image of the points [B, N, 3] fits the target better than the points do, [B]."""
    centred, target_centred = (p - p.mean(axis=1, keepdims=True) for p in (points, target))
    return np.linalg.det(np.swapaxes(target_centred, 1, 2) @ centred) < 0
