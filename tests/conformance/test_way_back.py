"""The conversion to the real camera, in a graph, against exact numbers for a ray with sides 3, 4 and 5."""

import math

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.exporting.camera import to_camera
from hiu_tf.exporting.crops import Windows

#: Of a window that looks along (0.6, 0, 0.8): the crop's x, y and z as the camera sees them, right hand and left.
AXES = {False: [[0.8, 0, -0.6], [0, 1, 0], [0.6, 0, 0.8]], True: [[-0.8, 0, 0.6], [0, 1, 0], [0.6, 0, 0.8]]}
K = [[400.0, 0, 320], [0, 500, 240], [0, 0, 1]]
WRIST = np.array([0.06, 0.03, 0.6])


def moved(is_left, centre, wrist, intrinsics):
    """Joints and vertices of one hand: its wrist, and a decimetre from it along each axis."""
    points = np.concatenate([wrist[np.newaxis], wrist + 0.1 * np.eye(3)])
    joints = np.concatenate([points, np.tile(points[:1], (17, 1))])
    windows = Windows(
        tf.constant([centre], tf.float32),
        tf.constant([128.0]),
        tf.constant([is_left]),
        tf.constant([[480, 960]]),
        tf.constant([True]),
    )
    outputs = {
        name: tf.constant([values], tf.float32) for name, values in ((keys.JOINTS_3D, joints), (keys.VERTICES, points))
    }
    found = to_camera(outputs, windows, tf.constant([intrinsics], tf.float32), 64)
    np.testing.assert_array_equal(found[keys.JOINTS_3D][0, :4], found[keys.VERTICES][0])
    return found[keys.VERTICES][0].numpy()


@pytest.mark.parametrize("is_left", (False, True))
def test_the_hand_turns_with_the_ray_and_its_depth_scales_with_the_focal_length(is_left):
    """A window of 128 px, a crop of 64: the virtual focal length is 64 / tan(12.6 degrees) pixels of the picture."""
    found = moved(is_left, (620, 240), np.array([0, 0, 0.6]), K)
    depth = 0.6 * 400 / 64 * math.tan(math.radians(12.6))
    np.testing.assert_allclose(found[0], [0.75 * depth, 0, depth], atol=1e-6)
    np.testing.assert_allclose(found[1:] - found[0], 0.1 * np.array(AXES[is_left]), atol=1e-6)


@pytest.mark.parametrize("is_left", (False, True))
def test_a_wrist_beside_the_middle_keeps_its_pixel(is_left):
    found = moved(is_left, (620, 190), WRIST, K)
    aside = 64 / math.tan(math.radians(12.6)) / 10
    depth = 0.6 * 400 / 64 * math.tan(math.radians(12.6))
    across = -aside if is_left else aside
    np.testing.assert_allclose(
        found[0], [(300 + across) / 400 * depth, (aside / 2 - 50) / 500 * depth, depth], atol=1e-6
    )


@pytest.mark.parametrize("is_left", (False, True))
def test_without_a_camera_points_stay_and_left_hands_are_mirrored_back(is_left):
    found = moved(is_left, (620, 190), WRIST, np.zeros((3, 3)))
    expected = np.concatenate([WRIST[np.newaxis], WRIST + 0.1 * np.eye(3)]) * [-1 if is_left else 1, 1, 1]
    np.testing.assert_allclose(found, expected, atol=1e-7)
