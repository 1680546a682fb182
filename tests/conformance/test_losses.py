"""Every loss, found by reflection, obeys the same rules."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation

from hiu_tf.codecs.heatmap import READABLE
from hiu_tf.config.schema import LossConfig
from hiu_tf.conventions import keys
from hiu_tf.errors import ConfigError
from hiu_tf.losses.total import loss_values, sample_errors, sample_weights, without_unlabelled
from hiu_tf.tasks import PAPER, active_losses, find_tasks, losses_of

BATCH, SIZE = 3, 32
WEIGHTS = {
    keys.HEATMAPS_WEIGHT: (BATCH, 21), keys.POF_WEIGHT: (BATCH, 60), keys.MASK_WEIGHT: (BATCH,),
    keys.JOINTS_2D_WEIGHT: (BATCH, 21), keys.JOINTS_3D_WEIGHT: (BATCH, 21), keys.SSL_WEIGHT: (BATCH,), keys.WHOLE: (BATCH,),
    keys.HAS_MESH: (BATCH,), keys.HAS_PARAMETERS: (BATCH,),
}  # fmt: skip
LOSSES = losses_of(PAPER)
PRIORS = ("pose_prior", "shape_prior")


@pytest.fixture
def predicted(rng):
    shapes = {
        keys.HEATMAPS: (BATCH, 16, 16, 21), keys.MASK_LOGITS: (BATCH, SIZE, SIZE, 1), keys.POF: (BATCH, 16, 16, 60),
        keys.MASK: (BATCH, SIZE, SIZE), keys.SHAPE: (BATCH, 10), keys.POSE: (BATCH, 15, 3), keys.JOINTS_3D: (BATCH, 21, 3), keys.JOINTS_2D: (BATCH, 21, 2),
        keys.JOINTS_2D_PROJECTED: (BATCH, 21, 2), keys.RENDERED_MASK: (BATCH, SIZE, SIZE), keys.VERTICES: (BATCH, 50, 3),
        keys.SCORES: (BATCH, 21), keys.ROTATION: (BATCH, 3),
    }  # fmt: skip
    found = {name: tf.Variable(rng.uniform(0.1, 0.9, shape), dtype=tf.float32) for name, shape in shapes.items()}
    found[keys.SCORES].assign(tf.maximum(found[keys.SCORES], READABLE + 0.01))
    return found | {keys.CROP_SIDE: tf.Variable(tf.fill([BATCH, 1], float(SIZE)))}


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
    """Values of the losses for one whole batch."""
    losses = {name: LOSSES[name] for name in names}
    totals = {name: tf.reduce_sum(weight) for name, weight in sample_weights(losses, gt).items()}
    return loss_values(sample_errors(losses, without_unlabelled(gt, PAPER), stacks, both_sides), totals)


def gradients(name, gt, predicted):
    with tf.GradientTape() as tape:
        value = batch_values([name], gt, [predicted])[name]
    found = tape.gradient(value, list(predicted.values()), unconnected_gradients="zero")
    return float(value), [gradient.numpy() for gradient in found]


def test_weights_of_a_recipe():
    """Losses without a weight in the recipe have their task's default; unknown names, negative weights are refused."""
    plain = active_losses(LossConfig())
    assert plain == {name: loss.weight for name, loss in LOSSES.items() if loss.weight}
    assert plain["heatmaps"] == 200
    assert "vertices" not in plain
    assert active_losses(LossConfig({"pof": 0, "vertices": 2})) == {k: v for k, v in plain.items() if k != "pof"} | {
        "vertices": 2
    }
    for weights in ({"poff": 1.0}, {"pof": -1.0}, {"pof": float("nan")}):
        with pytest.raises(ConfigError, match=f"loss.{next(iter(weights))}"):
            active_losses(LossConfig(weights))


def test_an_agreement_needs_both_its_tasks():
    assert not {"ssl_mask", "silhouette", "mask"} & set(losses_of(find_tasks(["heatmaps", "hand"])))
    assert "ssl_joints" in losses_of(find_tasks(["heatmaps", "hand"]))


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
    """Even if the values in place of the label are not finite."""
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
    logits, target = p[keys.MASK_LOGITS], t[keys.MASK]
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
        "shape": ((p[keys.SHAPE] - t[keys.SHAPE]) ** 2).mean(),
        "pose": ((p[keys.POSE] - t[keys.POSE]) ** 2).mean(),
        "rotation": turned.magnitude().mean(),
        "joints_2d_read": read.mean(),
        "vertices": mesh.mean(),
        "heatmaps": ((p[keys.HEATMAPS] - t[keys.HEATMAPS]) ** 2).mean(),
        "pof": ((p[keys.POF] - t[keys.POF]) ** 2).mean(),
        "mask": (np.log1p(np.exp(logits)) - logits * target).mean(),
        "joints_2d": (flat * importance).sum() / (importance.sum() * BATCH),
        "joints_3d": deep.mean(),
        "silhouette": np.abs(p[keys.RENDERED_MASK] - target[..., 0]).mean(),
        "ssl_mask": np.abs(p[keys.RENDERED_MASK] - p[keys.MASK]).mean(),
        "ssl_joints": (np.linalg.norm(p[keys.JOINTS_2D] - p[keys.JOINTS_2D_PROJECTED], axis=-1) / SIZE).mean(),
        "pose_prior": (p[keys.POSE] ** 2).mean(),
        "shape_prior": (p[keys.SHAPE] ** 2).mean(),
    }
    values = batch_values(expected, gt, [predicted])
    for name, number in expected.items():
        assert float(values[name]) == pytest.approx(number, rel=1e-4), name


def test_identical_bones_have_no_direction_loss(predicted, rng):
    gt = labels(rng, 1.0) | {keys.JOINTS_3D: 3.0 * predicted[keys.JOINTS_3D] + 0.7}
    assert float(batch_values(["bone_direction"], gt, [predicted])["bone_direction"]) == pytest.approx(0, abs=1e-5)


def test_mean_over_stacks(predicted, rng):
    gt = labels(rng, 1.0)
    one = batch_values(["pof"], gt, [predicted])["pof"]
    perfect = predicted | {keys.POF: gt[keys.POF]}
    assert float(batch_values(["pof"], gt, [predicted, perfect])["pof"]) == pytest.approx(float(one) / 2)


@pytest.mark.parametrize(("name", "dense"), [("ssl_mask", keys.MASK), ("ssl_joints", keys.JOINTS_2D)])
@pytest.mark.parametrize("both_sides", (True, False))
def test_self_supervision_moves_one_side_or_both(name, dense, both_sides, predicted, rng):
    with tf.GradientTape() as tape:
        value = batch_values([name], labels(rng, 1.0), [predicted], both_sides=both_sides)[name]
    mesh = keys.RENDERED_MASK if name == "ssl_mask" else keys.JOINTS_2D_PROJECTED
    moved = tape.gradient(value, {"dense": predicted[dense], "mesh": predicted[mesh]})
    assert (moved["dense"] is not None) == both_sides
    assert moved["mesh"].numpy().any()


@pytest.mark.parametrize("name", ("ssl_mask", "ssl_joints"))
def test_tasks_that_agree_cost_nothing(name, predicted, rng):
    agreeing = predicted | {
        keys.RENDERED_MASK: tf.convert_to_tensor(predicted[keys.MASK]),
        keys.JOINTS_2D_PROJECTED: tf.convert_to_tensor(predicted[keys.JOINTS_2D]),
    }
    assert float(batch_values([name], labels(rng, 1.0), [agreeing])[name]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_parts_of_a_batch_add_up_to_the_whole(name, predicted, rng):
    gt = labels(rng, 1.0)
    gt[keys.MASK_WEIGHT] = tf.constant([1.0, 0.0, 0.5])
    losses = {name: LOSSES[name]}
    totals = {name: tf.reduce_sum(sample_weights(losses, gt)[name])}
    parts = [
        loss_values(sample_errors(losses, {k: v[part] for k, v in gt.items()}, [{k: v[part] for k, v in predicted.items()}]), totals)
        for part in (slice(0, 1), slice(1, 3))
    ]  # fmt: skip
    whole = batch_values([name], gt, [predicted])[name]
    assert sum(float(part[name]) for part in parts) == pytest.approx(float(whole), rel=1e-5)


@pytest.mark.parametrize("name", ["joints_2d_read", "ssl_joints"])
def test_a_map_that_shows_nothing_pulls_nowhere(name, predicted, rng):
    """Equation 1 decodes an empty map to the corner: this must not pull joints or mesh there."""
    empty = predicted | {keys.SCORES: tf.zeros([BATCH, 21])}
    value, found = gradients(name, labels(rng, 1.0), empty | {})
    assert value == 0
    assert not any(gradient.any() for gradient in found)
