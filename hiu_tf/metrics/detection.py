"""Hand or none: how well scores tell the two apart. NumPy."""

import numpy as np
from scipy.stats import rankdata


def separation_auc(hands: np.ndarray, none: np.ndarray) -> float:
    """The chance that a picture with a hand [N] scores more than one without [M]; ties count half (Mann-Whitney)."""
    ranks = rankdata(np.concatenate([hands, none]))[: len(hands)]
    return float((ranks.sum() - len(hands) * (len(hands) + 1) / 2) / (len(hands) * len(none)))


def best_threshold(hands: np.ndarray, none: np.ndarray) -> float:
    """The score at which the shares of hands kept and of pictures without one refused have the largest sum."""
    places = np.unique(np.concatenate([hands, none]))
    places = np.concatenate([places[:1], (places[1:] + places[:-1]) / 2])
    kept = 1 - np.searchsorted(np.sort(hands), places) / len(hands)
    refused = np.searchsorted(np.sort(none), places) / len(none)
    return float(places[np.argmax(kept + refused)])
