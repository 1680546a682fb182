"""Converting theta between two models with different rest poses."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import BONES
from hiu_tf.hand import anatomy, poses
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.limits import joint_limits
from hiu_tf.hand.model import mirror_hand
from hiu_tf.hand.retarget import retarget


@pytest.fixture(scope="module")
def other(hand):
    """Our hand with another rest pose and orientation: a model in which the same theta gives another pose."""
    rest = 0.5 * poses.gesture_pose("relaxed").astype(np.float32)[None]
    turn, zeros = np.array([[0.2, -0.5, 0.3]], np.float32), np.zeros((1, 10), np.float32)
    posed = pose_hand(hand, zeros, rest, turn, np.array([[0.01, 0.02, 0.0]], np.float32), bone_transforms=True)
    joints = posed[keys.BONE_TRANSFORMS].numpy()[0, :, :3, 3]
    vertices = posed[keys.VERTICES].numpy()[0]
    regressor = np.linalg.lstsq(
        np.vstack([vertices.T, np.ones(len(vertices))]), np.vstack([joints.T, np.ones(16)]), rcond=None
    )[0].T
    return dataclasses.replace(
        hand,
        vertices=vertices,
        joint_regressor=regressor.astype(np.float32),
        pose_directions=np.zeros_like(hand.pose_directions),
        name="another rest pose",
    )  # fmt: skip


def some_hands(rng, count=5):
    return {
        keys.POSE: np.stack([poses.sample_pose(rng) for _ in range(count)]),
        keys.ROTATION: rng.normal(size=(count, 3)),
        keys.TRANSLATION: rng.normal(size=(count, 3)) * 0.2,
    }


def joints(hand, parameters):
    hand = dataclasses.replace(hand, pose_directions=np.zeros_like(hand.pose_directions))
    values = [np.asarray(parameters[k], np.float32) for k in (keys.POSE, keys.ROTATION, keys.TRANSLATION)]
    return pose_hand(hand, np.zeros((len(values[0]), 10), np.float32), *values)[keys.JOINTS_3D].numpy()


def test_finger_bones_point_the_same_way_and_the_wrist_stays(hand, other, rng):
    parameters = some_hands(rng)
    before, after = joints(hand, parameters), joints(other, retarget(parameters, hand, other))
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-5)
    inner = [i for i, (parent, child) in enumerate(BONES) if parent != 0 and child % 4 != 0]  # tips move with the skin
    unit = [(j[:, BONES[inner, 1]] - j[:, BONES[inner, 0]]) for j in (before, after)]
    unit = [u / np.linalg.norm(u, axis=-1, keepdims=True) for u in unit]
    np.testing.assert_allclose(unit[1], unit[0], atol=2e-4)


def test_there_and_back_is_nothing(hand, other, rng):
    parameters = some_hands(rng)
    again = retarget(retarget(parameters, hand, other), other, hand)
    for name in (keys.POSE, keys.ROTATION):
        turn = (
            Rotation.from_rotvec(again[name].reshape(-1, 3))
            * Rotation.from_rotvec(parameters[name].reshape(-1, 3)).inv()
        )
        assert turn.magnitude().max() < 1e-6
    np.testing.assert_allclose(again[keys.TRANSLATION], parameters[keys.TRANSLATION], atol=1e-6)


def test_to_itself_is_nothing(hand, rng):
    parameters = some_hands(rng)
    np.testing.assert_allclose(joints(hand, retarget(parameters, hand, hand)), joints(hand, parameters), atol=1e-6)


def test_sides_must_agree(hand, rng):
    with pytest.raises(ValueError, match="mirror_hand"):
        retarget(some_hands(rng), hand, mirror_hand(hand))


def test_numbers_that_are_none_are_refused_and_flat_poses_taken(hand, other, rng):
    parameters = some_hands(rng)
    flat = parameters | {keys.POSE: parameters[keys.POSE].reshape(-1, 45)}
    np.testing.assert_array_equal(retarget(flat, hand, other)[keys.POSE], retarget(parameters, hand, other)[keys.POSE])
    flat[keys.POSE][0, 3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        retarget(flat, hand, other)


def test_limits_of_our_hand_are_those_of_its_anatomy(hand):
    axes, limits = joint_limits(hand)
    index = anatomy.pose_rows("index")
    np.testing.assert_allclose(axes[index], np.broadcast_to(anatomy.joint_axes("index"), (3, 3, 3)), atol=1e-6)
    np.testing.assert_allclose(limits[index], np.radians(anatomy.LIMITS_DEG["finger"]), atol=1e-6)


def test_a_pose_is_within_its_limits_whatever_the_rest_pose(hand, other, rng):
    """To first order in angles: the rest poses differ by more than 20 degrees."""
    natural = some_hands(rng, 200)
    ours, theirs = natural[keys.POSE], retarget(natural, hand, other)[keys.POSE]
    right = _degrees_beyond(*joint_limits(hand), ours)
    assert np.abs(_degrees_beyond(*joint_limits(other), theirs) - right).max() < 6
    assert np.abs(_degrees_beyond(*joint_limits(other), theirs) - right).mean() < 0.2
    assert np.abs(_degrees_beyond(*joint_limits(hand), theirs) - right).max() > 15, "limits of our hand do not hold"


def _degrees_beyond(axes, limits, pose):
    angles = np.einsum("jkc,njc->njk", axes, pose)
    return np.degrees(np.maximum(angles - limits[..., 1], 0) + np.minimum(angles - limits[..., 0], 0))
