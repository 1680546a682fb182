"""Distances, PCK curves and areas of a handful of numbers, worked out by hand."""

import numpy as np
import pytest

from hiu_tf.metrics.points import area, distances, pck_auc


def test_distances_are_euclidean_and_nan_without_a_label():
    predicted = np.array([[[3.0, 4.0], [1.0, 1.0], [0.0, 2.0]]])
    labelled = np.array([[[0.0, 0.0], [0.0, 0.0], [0.0, 5.0]]])
    np.testing.assert_array_equal(distances(predicted, labelled, np.array([[1.0, 0.0, 0.25]])), [[5, np.nan, 3]])


def test_area_by_the_trapezoid_rule():
    """Steps of different widths: (0.5 * 1 + 0.75 * 3) / 4."""
    thresholds = np.array([2.0, 3.0, 6.0])
    assert area(np.array([0.25, 0.75, 0.75]), thresholds) == pytest.approx((0.5 + 2.25) / 4, rel=1e-12)
    assert area(np.array([1.0, 1.0, 1.0]), thresholds) == 1.0


def test_area_as_the_mean_of_the_curve():
    assert area(np.array([0.25, 0.75, 0.8]), np.array([2.0, 3.0, 6.0]), "mean") == pytest.approx(0.6, rel=1e-12)


def test_auc_by_hand():
    """One joint, errors 0 and 2 at thresholds 0, 1, 2: the curve is 0.5, 0.5, 1, its area (0.5 + 0.75) / 2."""
    assert pck_auc(np.array([[0.0], [2.0]]), 0, 2, 3) == pytest.approx(0.625, rel=1e-12)


def test_auc_is_the_mean_over_joints_of_what_is_labelled():
    """A joint with 3 errors has the same weight as one with a single error; a joint without errors has none."""
    errors = np.array([[0.0, 9, np.nan], [0, np.nan, np.nan], [0, np.nan, np.nan]])
    assert pck_auc(errors, 0, 2, 3) == pytest.approx(0.5, rel=1e-12)
    assert np.isnan(pck_auc(errors[:, 2:], 0, 2, 3))


def test_auc_between_two_thresholds():
    """From 20 to 50 in four steps, 40 counts as within 40: the curve is 0, 0, 1, 1."""
    assert pck_auc(np.array([[40.0]]), 20, 50, 4) == pytest.approx(0.5, rel=1e-12)
