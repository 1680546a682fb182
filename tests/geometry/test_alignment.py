import numpy as np
from scipy.spatial.transform import Rotation

from hiu_tf.geometry.alignment import procrustes


def test_procrustes_undoes_a_similarity(rng):
    points = rng.normal(size=(5, 21, 3))
    turned = 2.3 * points @ Rotation.random(random_state=1).as_matrix().T + [1.0, 2, 3]
    np.testing.assert_allclose(procrustes(points, turned), turned, atol=1e-9)


def test_procrustes_does_not_reflect(rng):
    points = rng.normal(size=(1, 21, 3))
    mirrored = points * [-1.0, 1, 1]
    assert np.linalg.norm(procrustes(points, mirrored) - mirrored, axis=-1).mean() > 0.1


def test_procrustes_is_the_best_rotation(rng):
    """Against SciPy's solution of the rotation (Kabsch) with the least-squares scale."""
    points, target = rng.normal(size=(2, 1, 21, 3))
    a, b = points[0] - points[0].mean(0), target[0] - target[0].mean(0)
    rotation, _ = Rotation.align_vectors(b, a)
    turned = rotation.apply(a)
    expected = turned * (turned * b).sum() / (turned**2).sum() + target[0].mean(0)
    np.testing.assert_allclose(procrustes(points, target)[0], expected, atol=1e-6)
