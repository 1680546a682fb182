"""Metrics of hand scores and detections against closed forms."""

import numpy as np
import pytest

from hiu_tf.metrics.detection import best_threshold, separation_auc


def test_separation_is_the_share_of_pairs_in_order(rng):
    hands, none = rng.integers(0, 10, 30) / 10, rng.integers(0, 8, 40) / 10
    pairs = (hands[:, None] > none).mean() + 0.5 * (hands[:, None] == none).mean()
    assert separation_auc(hands, none) == pytest.approx(pairs)
    assert separation_auc(np.array([0.9, 0.8]), np.array([0.1])) == 1


def test_the_threshold_lies_between_what_can_be_told_apart():
    threshold = best_threshold(np.array([0.7, 0.8, 0.9]), np.array([0.1, 0.2, 0.5]))
    assert threshold == pytest.approx(0.6)
