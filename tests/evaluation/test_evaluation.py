import inspect
import json

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.evaluation.analysis import by_angle, by_finger, by_gesture, by_joint, by_occlusion, calibration
from hiu_tf.evaluation.benchmarks import POINT_PROTOCOLS
from hiu_tf.evaluation.compare import compare, comparison_table
from hiu_tf.evaluation.corruption import CORRUPTIONS, corrupted
from hiu_tf.evaluation.evaluate import Measured, Samples, evaluate, measure
from hiu_tf.evaluation.metrics import METRICS, with_range
from hiu_tf.evaluation.predictors import mean_predictor, network_predictor
from hiu_tf.evaluation.summary import as_json, markdown
from hiu_tf.exporting.module import HIUModule
from hiu_tf.metrics.mask import boundary_f, iou, mean_iou
from hiu_tf.metrics.metric import mean
from hiu_tf.metrics.points import pck_auc
from hiu_tf.programs._measure import confidence_table
from pipelines.build import evaluation_data

#: Procrustes leaves 1e-14 m, which misses the curve's first threshold, 0 mm: half a step of 1/99 is lost.
ROUNDED = ("joints_3d_aligned_auc", "mesh_aligned_auc")


@pytest.fixture(scope="module")
def batches(rendered_records):
    return list(evaluation_data(rendered_records / "synthetic", "val", 64, 4).as_numpy_iterator())


def perfect(batch):
    """Returns the labels themselves as predictions."""
    mask = batch[keys.MASK][..., 0]
    names = (keys.JOINTS_2D, keys.JOINTS_3D, keys.VERTICES)
    return {name: batch[name] for name in names} | {
        keys.JOINTS_2D_PROJECTED: batch[keys.JOINTS_2D],
        keys.MASK: mask,
        keys.RENDERED_MASK: mask,
    }


def test_labels_as_predictions_are_perfect(batches):
    answers = iter([perfect(batch) for batch in batches])
    metrics = evaluate({"perfect": lambda image: next(answers)}, batches, 64)["perfect"]
    assert set(metrics) == {p.name for p in METRICS}
    for protocol in METRICS:
        assert metrics[protocol.name] == pytest.approx(
            1.0 if protocol.higher_is_better else 0.0, abs=6e-3 if protocol.name in ROUNDED else 2e-3
        ), protocol.name


def test_joints_that_the_crops_leave_out_are_summed_over_all_samples(batches):
    left_out = [batch | {keys.JOINTS_OUTSIDE: np.arange(len(batch[keys.IMAGE]))} for batch in batches]
    answers = iter([perfect(batch) for batch in batches])
    samples, _ = measure({"perfect": lambda image: next(answers)}, left_out, 64)
    assert samples.outside == 0 + 1 + 2 + 3 + 0 + 1


def test_masks_are_compared_where_there_is_a_picture():
    """A mesh that goes on beyond the edge, as the hand does, loses nothing."""
    known = np.ones((1, 8, 8))
    known[:, 6:] = 0
    labels = {keys.MASK: known, keys.IN_PICTURE: known[..., np.newaxis], keys.MASK_WEIGHT: np.ones(1)}
    metric = next(metric for metric in METRICS if metric.name == "rendered_mask_iou")
    whole, half = np.ones((1, 8, 8)), np.ones((1, 8, 8))
    half[:, :3] = 0
    for predicted, expected in ((whole, 1.0), (half, 0.5)):
        assert metric.errors({keys.RENDERED_MASK: predicted}, labels, 8).item() == pytest.approx(expected)


def test_metrics_are_of_all_samples_and_few_are_kept(batches, rng):
    """Of 700 batches evenly spaced ones are kept; the metrics are those of every error."""
    batch = {name: value[:1] for name, value in batches[0].items()}
    answer, labelled = perfect(batch), rng.random((700, 21)) < 0.7
    shifts = rng.uniform(0, 12, (700, 21, 1)) * [1, 0]
    feed = ({**batch, keys.SAMPLE_ID: np.array([str(n).encode()]), keys.JOINTS_2D_WEIGHT: labelled[n : n + 1] * 1.0} for n in range(700))  # fmt: skip
    answers = iter(answer | {keys.JOINTS_2D: answer[keys.JOINTS_2D] + shift} for shift in shifts)
    seen = []
    samples, found = measure({"one": lambda image: next(answers)}, feed, 64, each_batch=lambda ids, _: seen.extend(ids))
    found = found["one"]
    assert samples.count == len(seen) == 700
    assert 160 <= len(samples.ids) == len(samples.pictures) == len(found.joints_2d) <= 320
    assert len(set(np.diff([int(name.split("/")[1]) for name in samples.ids]))) == 1
    pixels = np.where(labelled, 4 * shifts[..., 0], np.nan)
    thresholds = np.linspace(0, 30, 20)
    curves = [(column[~np.isnan(column), np.newaxis] <= thresholds).mean(axis=0) for column in pixels.T]
    areas = [np.trapz(curve, thresholds) / 30 for curve in curves]
    assert found.values["joints_2d_auc"] == pytest.approx(np.mean(areas), abs=1e-6)
    assert found.values["joints_3d_root"] == pytest.approx(0, abs=1e-3)


def test_known_offset_gives_known_metrics(batches):
    """3 px of a 64 crop are 12 px of 256; a shift of 10 mm to the side is no root-relative error."""

    def shifted(batch):
        found = perfect(batch)
        return found | {
            keys.JOINTS_2D: found[keys.JOINTS_2D] + [3.0, 0],
            keys.JOINTS_3D: found[keys.JOINTS_3D] + [0.01, 0, 0],
            keys.VERTICES: found[keys.VERTICES] + [0.01, 0, 0],
        }

    answers = iter([shifted(batch) for batch in batches])
    metrics = evaluate({"shifted": lambda image: next(answers)}, batches, 64)["shifted"]
    thresholds = np.linspace(0, 30, 20)
    assert metrics["joints_2d_auc"] == pytest.approx(
        np.trapz((thresholds >= 12).astype(float), thresholds) / 30, abs=1e-6
    )
    assert metrics["joints_3d_root"] == pytest.approx(0, abs=1e-3)
    assert metrics["mesh_root"] == pytest.approx(0, abs=1e-3)


def test_meshes_of_another_hand_model_are_not_compared(batches):
    answers = iter([perfect(batch) | {keys.VERTICES: perfect(batch)[keys.VERTICES][:, :778]} for batch in batches])
    metrics = evaluate({"other": lambda image: next(answers)}, batches, 64)["other"]
    assert set(metrics) == {p.name for p in METRICS if p.needs != keys.HAS_MESH}


def test_mean_and_network_predictors_measure_what_they_say(batches, tiny_network, hand):
    """Each predictor's numbers, from its own answers and the labels by formulas written out here."""
    predictors = {"mean": mean_predictor(batches), "network": network_predictor(tiny_network, hand)}
    results = evaluate(predictors, batches, 64)
    images, flat, deep, masks, known = (
        np.concatenate([batch[name] for batch in batches])
        for name in (keys.IMAGE, keys.JOINTS_2D, keys.JOINTS_3D, keys.MASK, keys.IN_PICTURE)
    )
    soft, masks = masks[..., 0], masks[..., 0] > 0.5
    raw = HIUModule(tiny_network, hand).predict(tf.constant(images))
    relative = deep - deep[:, :1]
    answers = {
        "network": (raw[keys.JOINTS_2D], raw[keys.JOINTS_3D] - raw[keys.JOINTS_3D][:, :1], raw[keys.MASK]),
        "mean": (flat.mean(axis=0), relative.mean(axis=0), [soft.mean(axis=0)] * len(soft)),
    }
    for name, (found_flat, found_deep, found_masks) in answers.items():
        pixels = 4 * np.linalg.norm(found_flat - flat, axis=-1)  # 64 px of a crop are 256
        thresholds = np.linspace(0, 30, 20)
        curve = (pixels[..., np.newaxis] <= thresholds).mean(axis=(0, 1))
        expected = {
            "joints_2d_auc": np.trapz(curve, thresholds) / 30,
            "joints_3d_root": 1000 * np.linalg.norm(found_deep - relative, axis=-1).mean(),
            "mask_iou": np.mean(
                [
                    (a & b).sum() / (a | b).sum()
                    for a, b in zip((np.asarray(found_masks) > 0.5) & (known[..., 0] > 0), masks)
                ]
            ),
        }
        for metric, value in expected.items():
            assert results[name][metric] == pytest.approx(value, rel=1e-3), (name, metric)
    assert results["mean"]["mask_iou"] > results["network"]["mask_iou"]


def test_mean_predictor_is_the_weighted_mean():
    batch = {
        keys.JOINTS_2D: np.stack([np.full((21, 2), 1.0), np.full((21, 2), 3.0)]), keys.JOINTS_2D_WEIGHT: np.array([[1.0] * 21, [0.0] * 21]),
        keys.JOINTS_3D: np.zeros((2, 21, 3)), keys.JOINTS_3D_WEIGHT: np.ones((2, 21)),
        keys.MASK: np.zeros((2, 4, 4, 1)), keys.MASK_WEIGHT: np.ones(2), keys.VERTICES: np.zeros((2, 0, 3)), keys.HAS_MESH: np.zeros(2),
    }  # fmt: skip
    np.testing.assert_array_equal(mean_predictor([batch])(np.zeros((1, 4, 4, 3)))[keys.JOINTS_2D], np.ones((1, 21, 2)))


def test_auc_closed_forms():
    assert pck_auc(np.zeros((10, 21)), 0, 30, 20) == pytest.approx(1.0)
    assert pck_auc(np.full((10, 21), 31.0), 0, 30, 20) == 0.0
    uniform = np.linspace(0, 30, 30001)[:, None]
    assert pck_auc(uniform, 0, 30, 100) == pytest.approx(0.5, abs=1e-3)
    half = np.stack([np.zeros(4), np.full(4, np.nan)], axis=1)
    assert pck_auc(half, 0, 30, 20) == pytest.approx(1.0), "points without label do not count"


def test_iou_closed_form():
    a, b = np.zeros((1, 4, 4)), np.zeros((1, 4, 4))
    a[0, :2], b[0, 1:3] = 1, 1
    assert iou(a, b)[0] == pytest.approx(4 / 12)
    assert iou(np.zeros((1, 4, 4)), np.zeros((1, 4, 4)))[0] == 1.0


def test_report_says_unit_and_words():
    results = {"set": {"trained": {"mask_iou": 0.5}, "mean": {"mask_iou": 0.25}}}
    text = markdown(results)
    assert "| mask_iou ↑ (0..1) | 0.500 | 0.250 |" in text
    assert "masks cut at 0.5, IoU of the hand" in text
    assert json.loads(json.dumps(as_json(results, "x")))["protocols"]["joints_3d_root"]["unit"] == "mm"


PIXELS = "PCK (error <= t) at 20 t from 0 to 30 px, trapezoid rule"
MILLIMETRES = "PCK (error <= t) at 100 t from 0 to 50 mm, trapezoid rule"
ROOTED, ALIGNED = "wrist moved to the label's", "aligned by a similarity"
PROJECTED, RENDERED = "projected from 3D: ", "rendered from the mesh: "
#: Unit, whether more is better, and what the words say; of what is said here, each says no more.
SAID = {
    "joints_2d_auc": ("0..1", True, {"2D, all joints", PIXELS, "in a crop of 256"}),
    "joints_2d_box_error": ("of the box's side", False, {"2D, all joints", "mean over samples of their mean error"}),
    "mask_iou": ("0..1", True, {"masks cut at 0.5", "IoU of the hand"}),
    "mask_miou": ("0..1", True, {"masks cut at 0.5", "IoU of hand and of background"}),
    "mask_boundary_f": ("0..1", True, {"masks cut at 0.5", "within 0.8% of the diagonal"}),
    "projected_2d_auc": ("0..1", True, {PROJECTED, "2D, all joints", PIXELS, "in a crop of 256"}),
    "projected_2d_box_error": ("of the box's side", False, {PROJECTED, "2D, all joints", "mean over samples of their mean error"}),
    "rendered_mask_iou": ("0..1", True, {RENDERED, "masks cut at 0.5", "IoU of the hand"}),
    "joints_3d_root": ("mm", False, {"3D, all joints", "21 or more labelled", ROOTED}),
    "joints_3d_aligned": ("mm", False, {"3D, all joints", "21 or more labelled", ALIGNED}),
    "joints_3d_aligned_auc": ("0..1", True, {"3D, all joints", "21 or more labelled", ALIGNED, MILLIMETRES}),
    "mesh_root": ("mm", False, {"3D, all vertices", ROOTED}),
    "mesh_aligned": ("mm", False, {"3D, all vertices", ALIGNED}),
    "mesh_aligned_auc": ("0..1", True, {"3D, all vertices", ALIGNED, MILLIMETRES}),
}  # fmt: skip


def test_every_metric_says_what_it_is():
    phrases = set().union(*(said for _, _, said in SAID.values()))
    found = {m.name: (m.unit, m.higher_is_better, {said for said in phrases if said in m.words}) for m in METRICS}
    assert found == SAID


@pytest.mark.parametrize("metric", [f for f in METRICS if f.statistic == "auc"], ids=lambda metric: metric.name)
def test_contributions_add_up_to_the_curves_area(metric, rng):
    errors = rng.uniform(0, 60, (40, 5))
    errors[rng.random((40, 5)) < 0.2] = np.nan
    p = metric.protocol
    assert metric.value(errors) == pytest.approx(pck_auc(errors, p.low, p.high, p.steps), rel=1e-9)
    assert metric.value(errors) == pytest.approx(p.metrics(errors)["auc"], rel=1e-9)
    on_steps = np.repeat(p.thresholds[:, None], 2, axis=1)  # errors that equal a threshold count as within it
    assert metric.value(on_steps) == pytest.approx(pck_auc(on_steps, p.low, p.high, p.steps), rel=1e-9)


@pytest.mark.parametrize("name", ("mmpose", "nsrm", "zimmermann"))
def test_contributions_of_strict_mean_and_cut_curves(name, rng):
    protocol = POINT_PROTOCOLS[name]
    errors = np.concatenate(
        [rng.uniform(0, 1.2 * protocol.high, (30, 3)), np.repeat(protocol.thresholds[:, None], 3, 1)]
    )
    assert mean(mean(protocol.areas(errors), axis=0)) == pytest.approx(protocol.metrics(errors)["auc"], rel=1e-9)


def test_the_range_of_pixels_is_an_option(batches):
    answers = [perfect(batch) | {keys.JOINTS_2D: batch[keys.JOINTS_2D] + [5.0, 0]} for batch in batches]
    answers = iter(answers)
    metrics = with_range(METRICS, 0, 40, 21)
    found = evaluate({"": lambda image: next(answers)}, batches, 64, metrics)[""]
    thresholds = np.linspace(0, 40, 21)  # 5 px of 64 are 20 px of 256: exactly a threshold, and within it
    assert found["joints_2d_auc"] == pytest.approx(
        np.trapz((thresholds >= 20 - 1e-4).astype(float), thresholds) / 40, abs=0.03
    )
    assert "21 t from 0 to 40 px" in metrics[0].words
    assert metrics[3] is METRICS[3]


def test_mask_measures():
    a, b = np.zeros((1, 64, 64)), np.zeros((1, 64, 64))
    a[0, 10:30, 10:30] = 1
    b[0, 10:30, 11:31] = 1
    np.testing.assert_allclose(mean_iou(a, b), [[380 / 420, (4096 - 420) / (4096 - 380)]])
    assert boundary_f(a, b)[0] == 1.0, "one pixel is within 0.8% of the diagonal"
    far = np.roll(a, 20, axis=2)
    assert boundary_f(a, far)[0] == pytest.approx(20 / 76), "one side of each lies beside the other"
    assert boundary_f(a, a)[0] == 1.0
    assert boundary_f(a, np.zeros_like(a))[0] == 0.0
    assert boundary_f(np.zeros_like(a), np.zeros_like(a))[0] == 1.0


def test_what_lies_beyond_the_picture_counts_in_no_measure_of_masks():
    """A picture of 100 x 50: columns 10 to 49 are the hand, 20 to 69 predicted; the picture alone gives the same."""
    label, found, known = np.zeros((1, 100, 100)), np.zeros((1, 100, 100)), np.zeros((1, 100, 100), bool)
    label[..., 10:60], found[..., 20:70], known[..., :50] = 1, 1, True
    np.testing.assert_allclose(iou(found, label, known), [30 / 40])
    np.testing.assert_allclose(mean_iou(found, label, known), [[30 / 40, 10 / 20]])
    assert boundary_f(found, label, known)[0] == 0.0, "their left edges are ten pixels apart, and they have no other"
    found[..., 20:70] = 0
    found[..., 11:60] = 1
    assert boundary_f(found, label, known)[0] == 1.0
    cropped = [mask[..., :50] for mask in (found, label)]
    for quality in (iou, mean_iou):
        np.testing.assert_allclose(quality(found, label, known), quality(*cropped))


def test_a_mesh_without_a_labelled_wrist_is_compared_by_its_shape_alone(rng):
    """There is nothing to be relative to."""
    mesh = rng.normal(0, 0.05, (2, 50, 3))
    found = {keys.VERTICES: mesh, keys.JOINTS_3D: np.zeros((2, 21, 3))}
    labels = {
        keys.VERTICES: mesh + 0.7,
        keys.HAS_MESH: np.ones(2),
        keys.JOINTS_3D: np.array([np.full((21, 3), 0.7), np.zeros((21, 3))]),
        keys.JOINTS_3D_WEIGHT: np.array([np.ones(21), np.zeros(21)]),
    }
    root, aligned = (next(m for m in METRICS if m.name == name) for name in ("mesh_root", "mesh_aligned"))
    errors = root.errors(found, labels, 64)
    np.testing.assert_allclose(errors[0], 0, atol=1e-6)
    assert np.isnan(errors[1]).all()
    np.testing.assert_allclose(aligned.errors(found, labels, 64), 0, atol=1e-6)


def measured(errors):
    return Measured({}, errors, np.zeros((len(next(iter(errors.values()))), 21, 2)), np.full((1, 21), np.nan))


def test_bootstrap_covers_a_known_difference(rng):
    """Errors that differ by 1 mm on average: the interval of a hundred draws holds it about 95 times; by SciPy too."""
    hits = 0
    for _ in range(100):
        first = rng.normal(10, 3, (60, 1))
        second = first + rng.normal(1, 1, (60, 1))
        found = compare(measured({"joints_3d_root": first}), measured({"joints_3d_root": second}), draws=400)[
            "joints_3d_root"
        ]
        hits += found.low <= 1 <= found.high
        assert found.difference == pytest.approx((second - first).mean())
    assert 85 <= hits <= 100
    seed = {"rng" if "rng" in inspect.signature(scipy.stats.bootstrap).parameters else "random_state": 1}
    interval = scipy.stats.bootstrap(((second - first)[:, 0],), np.mean, method="percentile", **seed)
    interval = interval.confidence_interval
    np.testing.assert_allclose([found.low, found.high], interval, atol=0.08)
    assert found.is_clear
    assert "*" in comparison_table({"joints_3d_root": found}, "a", "b")


def test_equal_models_do_not_differ(rng):
    errors = measured({"joints_2d_auc": rng.uniform(0, 30, (20, 21))})
    assert not compare(errors, errors)["joints_2d_auc"].is_clear


def test_breakdowns_and_calibration(rng):
    errors = np.tile(np.arange(21.0), (8, 1))
    errors_of = {"joints_3d_root": errors, "joints_2d_auc": errors}
    found = Measured({}, errors_of, np.zeros((8, 21, 2)), np.where(errors <= 10, 0.95, 0.15))
    visible = np.where(np.arange(21) < 11, 1, 0) * np.ones((8, 1))
    samples = Samples(
        8,
        ["s"] * 8,
        [b""] * 8,
        np.zeros((8, 21, 2)),
        np.ones((8, 21)),
        visible,
        np.arange(8) * 20.0,
        np.zeros(8),
        np.array(["fist"] * 8),
    )
    assert by_joint(found)["thumb4"]["joints_3d_root"] == 4
    assert by_finger(found)["index"]["joints_3d_root"] == 6.5
    assert by_occlusion(found, samples)["hidden joints"] == {
        "joints": 80,
        "joints_2d_auc": 15.5,
        "joints_3d_root": 15.5,
    }
    angles = by_angle(found, samples)
    assert sum(row["samples"] for row in angles.values()) == 8
    samples.gesture = np.array(["fist"] * 3 + ["open"] * 4 + [""], object)
    assert {name: row["samples"] for name, row in by_gesture(found, samples).items()} == {"open": 4, "fist": 3}
    unsure, sure = calibration(found)
    assert (unsure["right"], sure["right"]) == (0, 1)
    assert (unsure["joints"], sure["joints"]) == (80, 88)
    assert calibration(found, found)[1]["joints"] == 2 * 88
    said = confidence_table({"one": (samples, {"model": found}), "two": (samples, {"model": found})})
    assert "| 0.95 | 176 | 1.00 |" in said
    assert said.endswith(f"{(160 * 0.15 + 176 * 0.05) / 336:.3f}")  # mean gap over all joints


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_change_pictures_and_nothing_else(name, batches):
    first, again = (next(corrupted(iter(batches), name, keys.IMAGE)) for _ in range(2))
    np.testing.assert_array_equal(first[keys.IMAGE], again[keys.IMAGE])
    assert first[keys.IMAGE].shape == batches[0][keys.IMAGE].shape
    assert first[keys.IMAGE].dtype == np.float32
    assert np.abs(first[keys.IMAGE] - batches[0][keys.IMAGE]).mean() > 0.003
    assert 0 <= first[keys.IMAGE].min() <= first[keys.IMAGE].max() <= 1
    assert first[keys.JOINTS_2D] is batches[0][keys.JOINTS_2D]


def test_one_labelled_joint_has_no_box(batches):
    batch = dict(batches[0])
    batch[keys.JOINTS_2D_WEIGHT] = np.ones_like(batch[keys.JOINTS_2D_WEIGHT])
    batch[keys.JOINTS_2D_WEIGHT][0, 1:] = 0
    shifted = {**perfect(batch), keys.JOINTS_2D: batch[keys.JOINTS_2D] + 1}
    metrics = evaluate({"shifted": lambda image: shifted}, [batch], 64)["shifted"]
    assert 0 < metrics["joints_2d_box_error"] < 1
    assert metrics["joints_2d_auc"] > 0, "in pixels it counts"


def test_few_samples_make_nothing_clear(rng):
    first = rng.normal(10, 1, (9, 1))
    found = compare(measured({"joints_3d_root": first}), measured({"joints_3d_root": first + 1}))["joints_3d_root"]
    assert found.low > 0
    assert not found.is_clear
    assert found.samples == 9
