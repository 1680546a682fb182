"""Streaming metrics of training against the offline protocols on the same data."""

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.evaluation.metrics import METRICS
from hiu_tf.metrics.streaming import MaskIoU
from hiu_tf.tasks import PAPER

SAMPLES, SIZE = 13, 32


@pytest.fixture
def data(rng):
    targets = {
        keys.JOINTS_2D: rng.uniform(0, SIZE, (SAMPLES, 21, 2)),
        keys.JOINTS_2D_WEIGHT: rng.integers(0, 2, (SAMPLES, 21)),
        keys.JOINTS_3D: rng.normal(0, 0.05, (SAMPLES, 21, 3)),
        keys.JOINTS_3D_WEIGHT: np.repeat(rng.integers(0, 2, (SAMPLES, 1)), 21, axis=1),
        keys.MASK: rng.uniform(0, 1, (SAMPLES, SIZE, SIZE, 1)),
        keys.MASK_WEIGHT: np.array([0, 1] * 6 + [1]),
        keys.IN_PICTURE: rng.integers(0, 2, (SAMPLES, SIZE, SIZE, 1)),
    }
    predicted = {
        keys.JOINTS_2D: targets[keys.JOINTS_2D] + rng.normal(0, 2, (SAMPLES, 21, 2)),
        keys.JOINTS_2D_PROJECTED: targets[keys.JOINTS_2D] + rng.normal(0, 3, (SAMPLES, 21, 2)),
        keys.JOINTS_3D: rng.normal(0, 0.05, (SAMPLES, 21, 3)),
        keys.MASK: rng.uniform(0, 1, (SAMPLES, SIZE, SIZE)),
    }
    as_float = lambda arrays: {name: value.astype(np.float32) for name, value in arrays.items()}
    return as_float(targets), as_float(predicted)


@pytest.mark.parametrize("metric", [m for task in PAPER for m in task.streaming(SIZE)], ids=lambda metric: metric.name)
def test_streaming_equals_offline(metric, data):
    targets, predicted = data
    for part in (slice(0, 5), slice(5, 10), slice(10, 13)):
        metric.update_state(*({name: tf.constant(v[part]) for name, v in arrays.items()} for arrays in data))
    offline = next(offline for offline in METRICS if offline.name == metric.name)
    labels = {**targets, keys.MASK: targets[keys.MASK][..., 0]}
    expected = offline.value(offline.errors(predicted, labels, SIZE))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    metric.reset_state()
    assert np.isnan(metric.result())  # forgotten


def test_pictures_without_a_hand_are_not_measured(data):
    """Their empty masks are labels of the loss, but evaluation measures masks of hands alone."""
    targets, predicted = data
    empty = np.zeros_like(targets[keys.MASK][:1])
    more = {name: np.concatenate([targets[name], targets[name][:1]]) for name in targets}
    more |= {
        keys.MASK: np.concatenate([targets[keys.MASK], empty]),
        keys.MASK_WEIGHT: np.append(targets[keys.MASK_WEIGHT], 1),
    }
    seen = {name: np.concatenate([value, value[:1]]) for name, value in predicted.items()}
    found = []
    for labels, answers in ((targets, predicted), (more, seen)):
        metric = MaskIoU("iou")
        metric.update_state(labels, answers)
        found.append(float(metric.result()))
    assert found[0] == pytest.approx(found[1])


@pytest.mark.parametrize("metric", [m for task in PAPER for m in task.streaming(SIZE)], ids=lambda metric: metric.name)
def test_a_metric_whose_label_is_missing_is_no_number(metric, data):
    """0 would be a perfect error, or a first value that nothing improves."""
    targets, predicted = data
    weights = (keys.JOINTS_2D_WEIGHT, keys.JOINTS_3D_WEIGHT, keys.MASK_WEIGHT)
    metric.reset_state()
    metric.update_state(targets | {name: tf.zeros_like(targets[name]) for name in weights}, predicted)
    assert np.isnan(metric.result())
