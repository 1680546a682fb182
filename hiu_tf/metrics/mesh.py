"""Metrics of meshes as point clouds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.spatial import cKDTree


def f_scores(predicted: np.ndarray, labelled: np.ndarray, thresholds: tuple[float, ...]) -> np.ndarray:
    """F-score of each mesh at each threshold, [B, T].

    It is the harmonic mean of precision (share of predicted vertices nearer than the threshold to a labelled
    one) and recall (share of labelled vertices near a predicted one); 0 if both are 0.

    Args:
      predicted, labelled: [B, V, 3] and [B, W, 3].
      thresholds: in the unit of the vertices; nearer means strictly less.
    """

    def one(pair):
        a, b = pair
        there, back = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
        return [[(distance < t).mean() for distance in (there, back)] for t in thresholds]

    with ThreadPoolExecutor() as pool:  # SciPy's queries release Python's lock
        shares = np.array(list(pool.map(one, zip(predicted, labelled)))).reshape(len(predicted), len(thresholds), 2)
    total = shares.sum(axis=-1)
    return np.where(total > 0, 2 * shares.prod(axis=-1) / np.maximum(total, 1e-12), 0.0)
