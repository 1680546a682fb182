import json

import numpy as np
import pytest

from hiu_tf.conventions import keys
from hiu_tf.evaluation.evaluate import evaluate
from hiu_tf.evaluation.predictors import mean_predictor, network_predictor
from hiu_tf.evaluation.protocols import PROTOCOLS, RENDERED_MASK
from hiu_tf.evaluation.report import as_json, markdown
from hiu_tf.metrics.mask import iou
from hiu_tf.metrics.points import pck_auc
from pipelines.build import evaluation_data

#: Procrustes leaves 1e-14 m, which misses the curve's first threshold, 0 mm: half a step of 1/99 is lost.
ROUNDED = "joints_3d_aligned_auc"


@pytest.fixture(scope="module")
def batches(rendered_records):
    return list(evaluation_data(rendered_records / "synthetic", "val", 64, 4).as_numpy_iterator())


def perfect(batch):
    """The labels themselves as predictions."""
    mask = batch[keys.MASK][..., 0]
    names = (keys.JOINTS_2D, keys.JOINTS_3D, keys.VERTICES)
    return {name: batch[name] for name in names} | {
        keys.JOINTS_2D_PROJECTED: batch[keys.JOINTS_2D],
        keys.MASK: mask,
        RENDERED_MASK: mask,
    }


def test_labels_as_predictions_are_perfect(batches):
    answers = iter([perfect(batch) for batch in batches])
    figures = evaluate({"perfect": lambda image: next(answers)}, batches, 64)["perfect"]
    assert set(figures) == {p.name for p in PROTOCOLS}
    for protocol in PROTOCOLS:
        assert figures[protocol.name] == pytest.approx(
            1.0 if protocol.higher_is_better else 0.0, abs=6e-3 if protocol.name == ROUNDED else 2e-3
        ), protocol.name


def test_known_offset_gives_known_figures(batches):
    """3 px of a 64 crop are 12 px of 256; 10 mm to the side is no root-relative error."""

    def shifted(batch):
        found = perfect(batch)
        return found | {
            keys.JOINTS_2D: found[keys.JOINTS_2D] + [3.0, 0],
            keys.JOINTS_3D: found[keys.JOINTS_3D] + [0.01, 0, 0],
            keys.VERTICES: found[keys.VERTICES] + [0.01, 0, 0],
        }

    answers = iter([shifted(batch) for batch in batches])
    figures = evaluate({"shifted": lambda image: next(answers)}, batches, 64)["shifted"]
    thresholds = np.linspace(0, 30, 20)
    assert figures["joints_2d_auc"] == pytest.approx(
        np.trapz((thresholds >= 12).astype(float), thresholds) / 30, abs=1e-6
    )
    assert figures["joints_3d_root"] == pytest.approx(0, abs=1e-3)
    assert figures["mesh_root"] == pytest.approx(0, abs=1e-3)


def test_meshes_of_another_hand_model_are_not_compared(batches):
    answers = iter([perfect(batch) | {keys.VERTICES: perfect(batch)[keys.VERTICES][:, :778]} for batch in batches])
    figures = evaluate({"other": lambda image: next(answers)}, batches, 64)["other"]
    assert set(figures) == {p.name for p in PROTOCOLS if p.needs != keys.HAS_MESH}


def test_mean_and_network_predictors_run(batches, tiny_network, hand):
    predictors = {"mean": mean_predictor(batches), "network": network_predictor(tiny_network, hand)}
    results = evaluate(predictors, batches, 64)
    for figures in results.values():
        assert all(np.isfinite(value) for value in figures.values())
    assert results["mean"]["mask_iou"] > results["network"]["mask_iou"] - 0.2


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
    assert "mean IoU at 0.5" in text
    assert json.loads(json.dumps(as_json(results, "x")))["protocols"]["joints_3d_root"]["unit"] == "mm"
