import numpy as np
import tensorflow as tf

from hiu_tf.geometry import camera as plain
from hiu_tf.geometry.tensor import camera


def test_projection_closed_form():
    intrinsics = np.array([[500.0, 0, 100], [0, 500, 50], [0, 0, 1]], np.float32)
    pixels = camera.project(tf.constant([[[0.1, -0.2, 0.5], [0.0, 0.0, 2.0]]]), intrinsics)
    np.testing.assert_allclose(pixels[0], [[200, -150], [100, 50]], atol=1e-4)


def test_virtual_camera_sees_its_field_of_view():
    intrinsics = plain.virtual_intrinsics(256)
    edge = 0.6 * np.tan(np.deg2rad(12.6))
    pixels = camera.project(tf.constant([[[edge, 0, 0.6]]], tf.float32), intrinsics)
    np.testing.assert_allclose(pixels[0, 0], [255.5, 127.5], atol=1e-3)


def test_points_behind_the_camera_stay_finite():
    pixels = camera.project(tf.constant([[[0.1, 0.1, -1.0], [0.1, 0.1, 0.0]]]), plain.virtual_intrinsics(64))
    assert np.isfinite(pixels).all()


def test_look_at_puts_the_pixel_on_the_axis():
    intrinsics = tf.constant([[480.0, 0, 320], [0, 480, 240], [0, 0, 1]])
    pixel = tf.constant([500.0, 60.0])
    rotation = camera.look_at_rotation(intrinsics, pixel).numpy()
    ray = np.array([(500 - 320) / 480, (60 - 240) / 480, 1.0])
    np.testing.assert_allclose(rotation @ ray / np.linalg.norm(ray), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)


def test_twins_agree(rng):
    """NumPy and TensorFlow: projection (also of points behind the camera) and the rotation of a ray."""
    points = rng.normal(size=(2, 50, 3)) * [0.2, 0.2, 0.4] + [0, 0, 0.4]
    intrinsics = plain.virtual_intrinsics(160)
    found = camera.project(tf.constant(points, tf.float32), intrinsics)
    np.testing.assert_allclose(found, plain.project(points, intrinsics), rtol=1e-4, atol=1e-3)
    for pixel in rng.uniform(-100, 400, (20, 2)):
        expected = plain.look_at_rotation(intrinsics.astype(float), pixel)
        found = camera.look_at_rotation(tf.constant(intrinsics), tf.constant(pixel, tf.float32))
        np.testing.assert_allclose(found, expected, atol=1e-6)
