"""3D labels without a camera get a camera that fits the 2D labels."""

import numpy as np
import pytest

from hiu_tf.geometry.camera import project
from pipelines.lift import lift, orthographic_fit


@pytest.fixture
def hand(rng):
    """World joints, and their projection by a scaled orthographic camera (800 pixels per metre)."""
    world = rng.normal(0, 0.04, (21, 3))
    return world, 800 * world[:, :2] + [300, 200]


def test_scale_and_error_of_a_perfect_fit(hand):
    scale, error = orthographic_fit(hand[1], hand[0])
    assert scale == pytest.approx(800)
    assert error == pytest.approx(0, abs=1e-9)


def test_a_mirrored_hand_does_not_fit(hand):
    assert orthographic_fit(hand[1], hand[0] * [-1, 1, 1])[1] > 0.1


def test_lifted_joints_project_onto_their_labels_and_keep_depths(hand):
    world, pixels = hand
    joints, camera = lift(pixels, world, 800)
    np.testing.assert_allclose(project(joints, camera), pixels, atol=1e-3)
    np.testing.assert_allclose(joints[:, 2] - joints[0, 2], world[:, 2] - world[0, 2], atol=1e-6)
    assert joints[:, 2].mean() == pytest.approx(camera[0, 0] / 800, rel=1e-5)


def test_bones_keep_their_lengths_but_for_perspective(hand):
    joints, _ = lift(hand[1], hand[0], 800)
    before, after = (np.linalg.norm(np.diff(points, axis=0), axis=1) for points in (hand[0], joints))
    np.testing.assert_allclose(after, before, rtol=0.25)
    assert np.median(after / before) == pytest.approx(1, abs=0.06)
