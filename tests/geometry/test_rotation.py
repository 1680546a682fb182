import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation

from hiu_tf.geometry.tensor.rotation import compose, rotation_matrix


def random_rotations(rng, count=200):
    axis = rng.normal(size=(count, 3))
    return axis / np.linalg.norm(axis, axis=1, keepdims=True) * rng.uniform(0, np.pi, (count, 1))


def test_matrix_equals_scipy(rng):
    vectors = random_rotations(rng)
    np.testing.assert_allclose(
        rotation_matrix(tf.constant(vectors, tf.float32)), Rotation.from_rotvec(vectors).as_matrix(), atol=2e-6
    )


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-4, 1e-3, 2e-3])
def test_small_angles_and_their_gradient(angle):
    vector = tf.constant([[angle, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(vector)
        matrix = rotation_matrix(vector)
    np.testing.assert_allclose(matrix[0], Rotation.from_rotvec([angle, 0, 0]).as_matrix(), atol=1e-7)
    jacobian = tape.jacobian(matrix, vector).numpy()[0, :, :, 0]
    assert np.isfinite(jacobian).all()
    np.testing.assert_allclose(jacobian[2, 1, 0], np.cos(angle), atol=1e-5)  # d sin(t) / dt


def test_compose_is_the_product_of_matrices(rng):
    first, second = random_rotations(rng), random_rotations(rng)
    together = compose(tf.constant(first, tf.float32), tf.constant(second, tf.float32)).numpy()
    expected = Rotation.from_rotvec(first) * Rotation.from_rotvec(second)
    np.testing.assert_allclose(Rotation.from_rotvec(together).as_matrix(), expected.as_matrix(), atol=5e-6)
    assert np.linalg.norm(together, axis=1).max() <= np.pi + 1e-5


def test_compose_of_a_small_rotation_is_exact():
    """To the third order: an angle of 0.0019 is not 3e-7 of itself too small."""
    small = tf.constant([[0.0019, 0.0, 0.0]], tf.float64)
    np.testing.assert_allclose(compose(small, tf.zeros_like(small)), small, rtol=1e-12)


def test_compose_with_its_inverse_has_a_finite_gradient():
    vector = tf.constant([[0.3, -0.2, 0.9]])
    with tf.GradientTape() as tape:
        tape.watch(vector)
        nothing = compose(vector, -vector)
    np.testing.assert_allclose(nothing, 0, atol=1e-6)
    assert np.isfinite(tape.gradient(nothing, vector).numpy()).all()
