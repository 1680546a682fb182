"""F-scores of small clouds, counted by hand."""

import numpy as np

from hiu_tf.metrics.mesh import f_scores

ORIGIN = np.zeros((1, 1, 3))


def test_a_vertex_at_the_threshold_is_not_near():
    """FreiHAND's rule: nearer means strictly less."""
    half = np.array([[[0.5, 0, 0]]])
    np.testing.assert_array_equal(f_scores(half, ORIGIN, (0.5, np.nextafter(0.5, 1), 0.25)), [[0, 1, 0]])


def test_the_score_is_the_harmonic_mean_of_both_shares():
    """Three of four predicted vertices lie near a labelled one, one of two labelled ones near a predicted one."""
    predicted = np.array([[[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [9, 0, 0]]], float)
    labelled = np.array([[[0, 0, 0], [5, 0, 0]]], float)
    np.testing.assert_allclose(f_scores(predicted, labelled, (1.0,)), [[2 * 0.75 * 0.5 / (0.75 + 0.5)]], rtol=1e-12)
    np.testing.assert_allclose(f_scores(labelled, predicted, (1.0,)), [[0.6]], rtol=1e-12)


def test_each_mesh_and_each_threshold_has_its_own_score():
    predicted = np.array([[[0.0, 0, 0]], [[0, 2, 0]], [[0, 0, -4]]])
    found = f_scores(predicted, np.repeat(ORIGIN, 3, axis=0), (1.0, 3.0))
    np.testing.assert_array_equal(found, [[1, 1], [0, 1], [0, 0]])
    assert f_scores(predicted[:0], predicted[:0], (1.0, 3.0)).shape == (0, 2)


def test_a_single_near_vertex_of_many_counts():
    """Small shares are not rounded to 0."""
    predicted = np.full((1, 2000, 3), 9.0)
    predicted[0, 0] = 0
    np.testing.assert_allclose(f_scores(predicted, ORIGIN, (1.0,)), [[2 * 0.0005 / 1.0005]], rtol=1e-12)
