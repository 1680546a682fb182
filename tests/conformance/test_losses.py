"""Every loss, found by reflection, obeys the same rules."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation

from hiu_tf.codecs.heatmap import READABLE
from hiu_tf.conventions import keys
from hiu_tf.losses.self_supervised import RENDERED
from hiu_tf.losses.total import LOSSES, loss_values, sample_errors, sample_weights

BATCH, SIZE = 3, 32
WEIGHTS = {
    keys.HEATMAPS_WEIGHT: (BATCH, 21), keys.POF_WEIGHT: (BATCH, 60), keys.MASK_WEIGHT: (BATCH,),
    keys.JOINTS_2D_WEIGHT: (BATCH, 21), keys.JOINTS_3D_WEIGHT: (BATCH, 21), keys.SSL_WEIGHT: (BATCH,),
    keys.HAS_MESH: (BATCH,), keys.HAS_PARAMETERS: (BATCH,),
}  # fmt: skip
PRIORS = (keys.LOSS_POSE_PRIOR, keys.LOSS_SHAPE_PRIOR)


@pytest.fixture
def predicted(rng):
    shapes = {
        keys.HEATMAPS: (BATCH, 16, 16, 21), keys.MASK: (BATCH, SIZE, SIZE, 1), keys.POF: (BATCH, 16, 16, 60),
        keys.SHAPE: (BATCH, 10), keys.POSE: (BATCH, 15, 3), keys.JOINTS_3D: (BATCH, 21, 3), keys.JOINTS_2D: (BATCH, 21, 2),
        keys.JOINTS_2D_PROJECTED: (BATCH, 21, 2), RENDERED: (BATCH, SIZE, SIZE), keys.VERTICES: (BATCH, 50, 3),
        keys.SCORES: (BATCH, 21), keys.ROTATION: (BATCH, 3),
    }  # fmt: skip
    found = {name: tf.Variable(rng.uniform(0.1, 0.9, shape), dtype=tf.float32) for name, shape in shapes.items()}
    found[keys.SCORES].assign(tf.maximum(found[keys.SCORES], READABLE + 0.01))
    return found


def labels(rng, weight):
    values = {
        keys.HEATMAPS: (BATCH, 16, 16, 21), keys.MASK: (BATCH, SIZE, SIZE, 1), keys.POF: (BATCH, 16, 16, 60),
        keys.JOINTS_3D: (BATCH, 21, 3), keys.JOINTS_2D: (BATCH, 21, 2), keys.VERTICES: (BATCH, 50, 3),
        keys.SHAPE: (BATCH, 10), keys.POSE: (BATCH, 15, 3), keys.ROTATION: (BATCH, 3, 3),
    }  # fmt: skip
    gt = {name: tf.constant(rng.uniform(0, 1, shape), tf.float32) for name, shape in values.items()}
    gt[keys.ROTATION] = tf.constant(Rotation.random(BATCH, rng).as_matrix(), tf.float32)
    return gt | {name: tf.constant(np.full(shape, weight), tf.float32) for name, shape in WEIGHTS.items()}


def batch_values(names, gt, stacks, both_sides=True):
    """Losses of one whole batch."""
    totals = {name: tf.reduce_sum(weight) for name, weight in sample_weights(names, gt).items()}
    return loss_values(sample_errors(names, gt, stacks, both_sides), totals)


def gradients(name, gt, predicted):
    with tf.GradientTape() as tape:
        value = batch_values([name], gt, [predicted])[name]
    found = tape.gradient(value, list(predicted.values()), unconnected_gradients="zero")
    return float(value), [gradient.numpy() for gradient in found]


def test_the_table_is_complete():
    assert set(LOSSES) == set(keys.LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_finite_and_it_pulls(name, predicted, rng):
    value, found = gradients(name, labels(rng, 1.0), predicted)
    assert np.isfinite(value)
    assert value > 0
    assert all(np.isfinite(gradient).all() for gradient in found)
    assert any(gradient.any() for gradient in found)


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in PRIORS])
def test_no_label_no_gradient(name, predicted, rng):
    value, found = gradients(name, labels(rng, 0.0), predicted)
    assert value == 0
    assert not any(gradient.any() for gradient in found)


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in PRIORS])
def test_a_sample_without_label_changes_nothing(name, predicted, rng):
    """Even when what stands in its place is not finite."""
    gt = labels(rng, 1.0)
    hidden = {key: tf.concat([gt[key][:2], tf.zeros_like(gt[key][2:])], axis=0) for key in WEIGHTS}
    spoiled = {key: tf.concat([gt[key][:2], gt[key][2:] * np.nan], axis=0) for key in gt if key not in WEIGHTS}
    two = {key: value[:2] for key, value in gt.items()}
    fewer = {key: tf.Variable(value[:2]) for key, value in predicted.items()}
    value, found = gradients(name, spoiled | hidden, predicted)
    expected, pulled = gradients(name, two, fewer)
    assert value == pytest.approx(expected, rel=1e-5)
    for one, other in zip(found, pulled):
        np.testing.assert_allclose(one[:2], other, rtol=1e-4, atol=1e-7)
        assert not one[2:].any()


def test_golden_numbers(predicted, rng):
    """Each supervised loss against the formula written out in NumPy."""
    gt = labels(rng, 1.0)
    p = {name: value.numpy().astype(np.float64) for name, value in predicted.items()}
    t = {name: value.numpy().astype(np.float64) for name, value in gt.items()}
    logits, target = p[keys.MASK], t[keys.MASK]
    importance = np.array([2.5] + [1.7, 1, 1, 1.7] * 5)
    flat = np.linalg.norm(p[keys.JOINTS_2D_PROJECTED] - t[keys.JOINTS_2D], axis=-1) / SIZE
    deep = np.linalg.norm(
        (p[keys.JOINTS_3D] - p[keys.JOINTS_3D][:, :1]) - (t[keys.JOINTS_3D] - t[keys.JOINTS_3D][:, :1]), axis=-1
    )
    read = np.linalg.norm(p[keys.JOINTS_2D] - t[keys.JOINTS_2D], axis=-1) / SIZE
    mesh = np.linalg.norm(
        (p[keys.VERTICES] - p[keys.JOINTS_3D][:, :1]) - (t[keys.VERTICES] - t[keys.JOINTS_3D][:, :1]), axis=-1
    )
    turned = Rotation.from_rotvec(p[keys.ROTATION]).inv() * Rotation.from_matrix(t[keys.ROTATION])
    expected = {
        keys.LOSS_SHAPE: ((p[keys.SHAPE] - t[keys.SHAPE]) ** 2).mean(),
        keys.LOSS_POSE: ((p[keys.POSE] - t[keys.POSE]) ** 2).mean(),
        keys.LOSS_ROTATION: turned.magnitude().mean(),
        keys.LOSS_JOINTS_2D_READ: read.mean(),
        keys.LOSS_VERTICES: mesh.mean(),
        keys.LOSS_HEATMAPS: ((p[keys.HEATMAPS] - t[keys.HEATMAPS]) ** 2).mean(),
        keys.LOSS_POF: ((p[keys.POF] - t[keys.POF]) ** 2).mean(),
        keys.LOSS_MASK: (np.log1p(np.exp(logits)) - logits * target).mean(),
        keys.LOSS_JOINTS_2D: (flat * importance).sum() / (importance.sum() * BATCH),
        keys.LOSS_JOINTS_3D: deep.mean(),
        keys.LOSS_SILHOUETTE: np.abs(p[RENDERED] - target[..., 0]).mean(),
        keys.LOSS_SSL_MASK: np.abs(p[RENDERED] - 1 / (1 + np.exp(-logits[..., 0]))).mean(),
        keys.LOSS_SSL_JOINTS: (np.linalg.norm(p[keys.JOINTS_2D] - p[keys.JOINTS_2D_PROJECTED], axis=-1) / SIZE).mean(),
        keys.LOSS_POSE_PRIOR: (p[keys.POSE] ** 2).mean(),
        keys.LOSS_SHAPE_PRIOR: (p[keys.SHAPE] ** 2).mean(),
    }
    values = batch_values(expected, gt, [predicted])
    for name, number in expected.items():
        assert float(values[name]) == pytest.approx(number, rel=1e-4), name


def test_identical_bones_have_no_direction_loss(predicted, rng):
    gt = labels(rng, 1.0) | {keys.JOINTS_3D: 3.0 * predicted[keys.JOINTS_3D] + 0.7}
    assert float(batch_values([keys.LOSS_BONE_DIRECTION], gt, [predicted])[keys.LOSS_BONE_DIRECTION]) == pytest.approx(
        0, abs=1e-5
    )


def test_mean_over_stacks(predicted, rng):
    gt = labels(rng, 1.0)
    one = batch_values([keys.LOSS_POF], gt, [predicted])[keys.LOSS_POF]
    perfect = predicted | {keys.POF: gt[keys.POF]}
    assert float(batch_values([keys.LOSS_POF], gt, [predicted, perfect])[keys.LOSS_POF]) == pytest.approx(
        float(one) / 2
    )


@pytest.mark.parametrize(("name", "dense"), [(keys.LOSS_SSL_MASK, keys.MASK), (keys.LOSS_SSL_JOINTS, keys.JOINTS_2D)])
@pytest.mark.parametrize("both_sides", (True, False))
def test_self_supervision_moves_one_side_or_both(name, dense, both_sides, predicted, rng):
    with tf.GradientTape() as tape:
        value = batch_values([name], labels(rng, 1.0), [predicted], both_sides=both_sides)[name]
    mesh = RENDERED if name == keys.LOSS_SSL_MASK else keys.JOINTS_2D_PROJECTED
    moved = tape.gradient(value, {"dense": predicted[dense], "mesh": predicted[mesh]})
    assert (moved["dense"] is not None) == both_sides
    assert moved["mesh"].numpy().any()


@pytest.mark.parametrize("name", (keys.LOSS_SSL_MASK, keys.LOSS_SSL_JOINTS))
def test_tasks_that_agree_cost_nothing(name, predicted, rng):
    agreeing = predicted | {
        RENDERED: tf.sigmoid(predicted[keys.MASK])[..., 0],
        keys.JOINTS_2D_PROJECTED: tf.convert_to_tensor(predicted[keys.JOINTS_2D]),
    }
    assert float(batch_values([name], labels(rng, 1.0), [agreeing])[name]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_parts_of_a_batch_add_up_to_the_whole(name, predicted, rng):
    gt = labels(rng, 1.0)
    gt[keys.MASK_WEIGHT] = tf.constant([1.0, 0.0, 0.5])
    totals = {name: tf.reduce_sum(sample_weights([name], gt)[name])}
    parts = [
        loss_values(sample_errors([name], {k: v[part] for k, v in gt.items()}, [{k: v[part] for k, v in predicted.items()}]), totals)
        for part in (slice(0, 1), slice(1, 3))
    ]  # fmt: skip
    whole = batch_values([name], gt, [predicted])[name]
    assert sum(float(part[name]) for part in parts) == pytest.approx(float(whole), rel=1e-5)


@pytest.mark.parametrize("name", [keys.LOSS_JOINTS_2D_READ, keys.LOSS_SSL_JOINTS])
def test_a_map_that_shows_nothing_pulls_nowhere(name, predicted, rng):
    """Equation 1 reads the corner off an empty map: neither labels nor the mesh may be drawn there."""
    empty = predicted | {keys.SCORES: tf.zeros([BATCH, 21])}
    value, found = gradients(name, labels(rng, 1.0), empty | {})
    assert value == 0
    assert not any(gradient.any() for gradient in found)
