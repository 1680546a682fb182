"""The hand layer against a plain float64 NumPy reference of the same equations."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import MODEL_TO_KEYPOINTS
from hiu_tf.geometry.mesh import vertex_normals
from hiu_tf.hand.layer import HandLayer, pose_hand
from hiu_tf.hand.model import mirror_hand, mirror_rotations


def reference(hand, shape, pose, rotation, translation):
    """Plain implementation of SMPL-style skinning for one hand, joint by joint, float64."""
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


def test_all_formats_of_theta_mean_the_same(hand, rng):
    shape, pose, rotation, translation = (tf.constant(p, tf.float32) for p in random_parameters(rng, 3))
    pose = 0.3 * pose
    expected = pose_hand(hand, shape, pose, rotation, translation)[keys.VERTICES]
    matrices = Rotation.from_rotvec(pose.numpy().reshape(-1, 3)).as_matrix().reshape(3, 15, 3, 3)
    root = Rotation.from_rotvec(rotation.numpy()).as_matrix()
    flat = tf.reshape(pose, [3, 45])
    less = flat - hand.pose_mean
    answers = {
        "flat": pose_hand(hand, shape, flat, rotation, translation),
        "matrix": pose_hand(hand, shape, matrices, root, translation, pose_format="matrix"),
        "mean": pose_hand(hand, shape, less, rotation, translation, add_mean=True),
        "coefficients": pose_hand(
            hand, shape, flat @ hand.pose_basis.T, rotation, translation, pose_format="coefficients"
        ),
        "coefficients and mean": pose_hand(
            hand, shape, less @ hand.pose_basis.T, rotation, translation, pose_format="coefficients", add_mean=True
        ),
    }
    for name, posed in answers.items():
        np.testing.assert_allclose(posed[keys.VERTICES], expected, atol=2e-6, err_msg=name)


def test_few_coefficients_are_the_first_rows_of_the_basis(hand):
    coefficients = tf.constant([[0.5, -0.4, 0.3]])
    zeros = tf.zeros([1, 10]), tf.zeros([1, 3]), tf.zeros([1, 3])
    few = pose_hand(hand, zeros[0], coefficients, *zeros[1:], pose_format="coefficients")
    same = pose_hand(hand, zeros[0], coefficients @ hand.pose_basis[:3], *zeros[1:])
    np.testing.assert_allclose(few[keys.VERTICES], same[keys.VERTICES], atol=1e-7)


def test_wrong_formats_are_refused(hand):
    zeros = tf.zeros([1, 10]), tf.zeros([1, 15, 3]), tf.zeros([1, 3]), tf.zeros([1, 3])
    with pytest.raises(ValueError, match="pose_format must be one of"):
        pose_hand(hand, *zeros, pose_format="euler")
    with pytest.raises(ValueError, match="cannot be added"):
        pose_hand(hand, zeros[0], tf.eye(3, batch_shape=[1, 15]), *zeros[2:], pose_format="matrix", add_mean=True)


def test_bone_transforms_are_the_frames_of_the_posed_joints(hand, rng):
    parameters = [tf.constant(p, tf.float32) for p in random_parameters(rng, 2)]
    posed = pose_hand(hand, *parameters, bone_transforms=True)
    frames = posed[keys.BONE_TRANSFORMS].numpy()
    order = np.argsort(MODEL_TO_KEYPOINTS)[:16]
    np.testing.assert_allclose(frames[:, :, :3, 3], posed[keys.JOINTS_3D].numpy()[:, order], atol=1e-7)
    np.testing.assert_allclose(frames[:, :, 3], np.broadcast_to([0, 0, 0, 1], (2, 16, 4)))
    local = Rotation.from_rotvec(parameters[1].numpy().reshape(-1, 3)).as_matrix().reshape(2, 15, 3, 3)
    for j, parent in enumerate(hand.parents[1:], start=1):
        np.testing.assert_allclose(frames[:, j, :3, :3], frames[:, parent, :3, :3] @ local[:, j - 1], atol=1e-5)


def test_normals_are_those_of_the_renderer(hand, rng):
    posed = pose_hand(hand, *(tf.constant(p, tf.float32) for p in random_parameters(rng, 2)), normals=True)
    for vertices, normals in zip(posed[keys.VERTICES].numpy(), posed[keys.NORMALS].numpy()):
        np.testing.assert_allclose(normals, vertex_normals(vertices, hand.faces), atol=1e-3)


def test_a_mirrored_hand_poses_to_the_mirror_image(hand, rng):
    shape, pose, rotation, translation = (p.astype(np.float32) for p in random_parameters(rng, 2))
    flip = np.array([-1, 1, 1], np.float32)
    right = pose_hand(hand, shape, pose, rotation, translation, normals=True)
    left = pose_hand(
        mirror_hand(hand), shape, mirror_rotations(pose), mirror_rotations(rotation), translation * flip, normals=True
    )
    for name in (keys.VERTICES, keys.JOINTS_3D, keys.NORMALS):
        np.testing.assert_allclose(left[name], right[name] * flip, atol=2e-6 if name != keys.NORMALS else 1e-3)


def test_mirroring_twice_is_nothing(hand):
    again = mirror_hand(mirror_hand(hand))
    assert again.side == hand.side == "right"
    for name in ("vertices", "faces", "shape_directions", "pose_directions", "pose_mean", "pose_basis"):
        np.testing.assert_array_equal(getattr(again, name), getattr(hand, name))


def test_exports_of_the_layer_say_the_same(hand, rng, tmp_path):
    """SavedModel with any batch size, TFLite with built-in operations alone."""
    module = tf.Module()
    names = (keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION)
    specs = [tf.TensorSpec([None, *size], name=name) for size, name in zip(((10,), (15, 3), (3,), (3,)), names)]
    layer = HandLayer(hand, normals=True, bone_transforms=True)
    module.pose = tf.function(lambda *args: layer(dict(zip(names, args))), input_signature=specs, autograph=False)
    tf.saved_model.save(module, str(tmp_path), signatures=module.pose.get_concrete_function())
    parameters = dict(zip(names, (p.astype(np.float32) for p in random_parameters(rng, 3))))
    expected = layer(parameters)
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](
        **{name: tf.constant(value) for name, value in parameters.items()}
    )
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    runner = tf.lite.Interpreter(model_content=converter.convert()).get_signature_runner()
    for name, value in expected.items():
        np.testing.assert_allclose(served[name], value, atol=1e-5 if name == keys.NORMALS else 1e-6)
        for i in range(3):
            one = runner(**{key: array[i : i + 1] for key, array in parameters.items()})
            np.testing.assert_allclose(
                one[name][0], value[i], atol=1e-3 if name == keys.NORMALS else 2e-6, err_msg=name
            )
