"""The hand layer against a plain float64 NumPy reference of the same equations."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import MODEL_TO_KEYPOINTS
from hiu_tf.hand.layer import HandLayer, pose_hand


def reference(hand, shape, pose, rotation, translation):
    """SMPL-style skinning, one hand, one joint after the other, float64."""
    vertices = hand.vertices.astype(np.float64) + hand.shape_directions.astype(np.float64) @ shape
    joints = hand.joint_regressor.astype(np.float64) @ vertices
    local = Rotation.from_rotvec(pose).as_matrix()
    vertices = vertices + hand.pose_directions.astype(np.float64) @ (local - np.eye(3)).reshape(-1)
    world = np.zeros((16, 4, 4))
    for j, parent in enumerate(hand.parents):
        step = np.eye(4)
        step[:3, :3] = Rotation.from_rotvec(rotation).as_matrix() if parent < 0 else local[j - 1]
        step[:3, 3] = joints[j] - (joints[parent] if parent >= 0 else 0)
        world[j] = step if parent < 0 else world[parent] @ step
    skin = np.zeros_like(vertices)
    for j in range(16):
        moved = (vertices - joints[j]) @ world[j, :3, :3].T + world[j, :3, 3]
        skin += hand.weights[:, j : j + 1].astype(np.float64) * moved
    keypoints = np.concatenate([world[:, :3, 3], skin[hand.tips]])[MODEL_TO_KEYPOINTS]
    return skin + translation, keypoints + translation


def random_parameters(rng, count):
    axis = rng.normal(size=(count, 16, 3))
    angles = axis / np.linalg.norm(axis, axis=-1, keepdims=True) * rng.uniform(0, np.pi, (count, 16, 1))
    return rng.normal(size=(count, 10)), angles[:, 1:], angles[:, 0], rng.normal(size=(count, 3)) * 0.3


def test_equals_the_reference(hand, rng):
    parameters = random_parameters(rng, 8)
    posed = pose_hand(hand, *(tf.constant(p, tf.float32) for p in parameters))
    for i in range(8):
        vertices, joints = reference(hand, *(p[i] for p in parameters))
        np.testing.assert_allclose(posed[keys.VERTICES][i], vertices, atol=1e-6)
        np.testing.assert_allclose(posed[keys.JOINTS_3D][i], joints, atol=1e-6)


def test_joints_are_not_regressed_from_the_posed_mesh(hand, rng):
    parameters = [tf.constant(p, tf.float32) for p in random_parameters(rng, 2)]
    posed = pose_hand(hand, *parameters)
    wrong = np.einsum("jv,bvc->bjc", hand.joint_regressor, posed[keys.VERTICES])
    right = posed[keys.JOINTS_3D].numpy()[:, np.argsort(MODEL_TO_KEYPOINTS)[:16]]
    assert np.abs(wrong - right).max() > 1e-3


@pytest.mark.parametrize("index", range(4))
def test_gradient_against_finite_differences(hand, rng, index):
    parameters = list(random_parameters(rng, 1))
    parameters[1] *= 0.3
    direction = rng.normal(size=parameters[index].shape)
    weight = rng.normal(size=(len(hand.vertices), 3))

    def value(step):
        moved = [p + step * direction if i == index else p for i, p in enumerate(parameters)]
        return (reference(hand, *(p[0] for p in moved))[0] * weight).sum()

    tensors = [tf.constant(p, tf.float32) for p in parameters]
    with tf.GradientTape() as tape:
        tape.watch(tensors[index])
        total = tf.reduce_sum(pose_hand(hand, *tensors)[keys.VERTICES] * weight.astype(np.float32))
    slope = float((tape.gradient(total, tensors[index]).numpy() * direction).sum())
    expected = (value(1e-4) - value(-1e-4)) / 2e-4
    assert slope == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_gradient_at_rest_is_finite(hand):
    pose = tf.zeros([1, 15, 3])
    with tf.GradientTape() as tape:
        tape.watch(pose)
        total = tf.reduce_sum(
            pose_hand(hand, tf.zeros([1, 10]), pose, tf.zeros([1, 3]), tf.zeros([1, 3]))[keys.VERTICES]
        )
    assert np.isfinite(tape.gradient(total, pose).numpy()).all()


def test_layer_stays_in_float32_under_mixed_precision(hand, rng):
    shape, pose, rotation, translation = (tf.constant(p, tf.float16) for p in random_parameters(rng, 2))
    inputs = {keys.SHAPE: shape, keys.POSE: pose, keys.ROTATION: rotation, keys.TRANSLATION: translation}
    assert HandLayer(hand)(inputs)[keys.VERTICES].dtype == tf.float32
