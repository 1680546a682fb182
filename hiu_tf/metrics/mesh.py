"""Errors of meshes as clouds of points."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.spatial import cKDTree


def f_scores(predicted: np.ndarray, labelled: np.ndarray, thresholds: tuple[float, ...]) -> np.ndarray:
    """F-score of each mesh at each threshold, [B, T].

    The share of predicted vertices that lie nearer than the threshold to a labelled one, the share of
    labelled ones near a predicted one, and their harmonic mean; 0 where both are 0.

    Args:
      predicted, labelled: [B, V, 3] and [B, W, 3].
      thresholds: in the unit of the vertices; nearer means strictly less.
    """

    def one(pair):
        a, b = pair
        there, back = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
        return [[(distance < t).mean() for distance in (there, back)] for t in thresholds]

    with ThreadPoolExecutor() as pool:  # SciPy's queries run without Python's lock
        shares = np.array(list(pool.map(one, zip(predicted, labelled)))).reshape(len(predicted), len(thresholds), 2)
    total = shares.sum(axis=-1)
    return np.where(total > 0, 2 * shares.prod(axis=-1) / np.maximum(total, 1e-12), 0.0)
