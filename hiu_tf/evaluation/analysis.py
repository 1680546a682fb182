"""Breakdowns of errors by joint, finger, angle and occlusion, and calibration of the confidence."""

from __future__ import annotations

import numpy as np

from hiu_tf.conventions.skeleton import FINGERS, JOINT_NAMES, NUM_JOINTS
from hiu_tf.evaluation.evaluate import Measured, Samples
from hiu_tf.evaluation.metrics import METRICS
from hiu_tf.metrics.metric import Metric, mean

_BY_NAME = {metric.name: metric for metric in METRICS}
#: Metrics with a column for each joint.
JOINT_METRICS = ("joints_2d_auc", "projected_2d_auc", "joints_3d_root", "joints_3d_aligned")
_ANGLES = (0, 30, 60, 90, 120, 150, 180)
_BINS = 10
#: A joint counts as correct within this distance, in pixels of a crop of 256.
RIGHT_PX = 10.0


def by_joint(found: Measured) -> dict[str, dict[str, float]]:
    """{joint: {metric: mean error}} for the metrics with a column for each joint."""
    errors = _joint_errors(found)
    return {name: {f: float(mean(e[:, j])) for f, e in errors.items()} for j, name in enumerate(JOINT_NAMES)}


def by_finger(found: Measured) -> dict[str, dict[str, float]]:
    """{finger: {metric: mean error}}, without the wrist."""
    errors = _joint_errors(found)
    columns = {finger: slice(1 + 4 * k, 5 + 4 * k) for k, finger in enumerate(FINGERS)}
    return {finger: {f: float(mean(e[:, c])) for f, e in errors.items()} for finger, c in columns.items()}


def by_angle(found: Measured, samples: Samples) -> dict[str, dict[str, float]]:
    """{range: {metric: mean error}} by the angle between palm normal and camera axis; without 3D labels by roll."""
    known = not np.isnan(samples.palm_angle).all()
    angle = samples.palm_angle if known else np.abs(samples.roll)
    title = "palm to camera" if known else "roll"
    rows = {}
    for low, high in zip(_ANGLES, _ANGLES[1:]):
        chosen = (angle >= low) & (angle < high if high < _ANGLES[-1] else angle <= high)
        if chosen.any():
            rows[f"{title} {low}-{high}°"] = _means(found, chosen)
    return rows


def by_gesture(found: Measured, samples: Samples) -> dict[str, dict[str, float]]:
    """{gesture: {metric: mean error}} by the gesture of the labelled joints, the most frequent first."""
    names, counts = np.unique(samples.gesture, return_counts=True)
    return {name: _means(found, samples.gesture == name) for name in names[np.argsort(-counts)] if name}


def by_occlusion(found: Measured, samples: Samples) -> dict[str, dict[str, float]]:
    """{visible, hidden: {metric: mean error}}, by the set's visibility label of each joint."""
    errors, rows = _joint_errors(found), {}
    for name, seen in (("visible joints", True), ("hidden joints", False)):
        chosen = ((samples.visible > 0) == seen) & (samples.weight > 0)
        if not chosen.any():
            continue
        rows[name] = {"joints": int(chosen.sum())}
        rows[name] |= {f: float(mean(np.where(chosen, e, np.nan))) for f, e in errors.items()}
    return rows


def calibration(*measured: Measured) -> list[dict[str, float]]:
    """For ten equal ranges of confidence: number of joints, mean confidence, share of correct joints, mean error.

    Args:
      measured: one predictor's results on one or several sets, which are taken together.
    """
    known = [m for m in measured if "joints_2d_auc" in m.errors and not np.isnan(m.scores).all()]
    if not known:
        return []
    errors, scores = (np.concatenate(x) for x in zip(*((m.errors["joints_2d_auc"], m.scores) for m in known)))
    place = np.clip((scores * _BINS).astype(int), 0, _BINS - 1)
    rows = []
    for k in range(_BINS):
        chosen = (place == k) & ~np.isnan(errors)
        if chosen.any():
            right = float((errors[chosen] <= RIGHT_PX).mean())
            row = {"joints": int(chosen.sum()), "confidence": float(scores[chosen].mean()), "right": right}
            rows.append(row | {"error": float(errors[chosen].mean())})
    return rows


def sample_values(found: Measured, metrics=METRICS) -> dict[str, np.ndarray]:
    """{metric: [N]}: each metric per sample, NaN for samples without the label."""
    return {f.name: mean(f.contributions(found.errors[f.name]), axis=1) for f in metrics if f.name in found.errors}


def pck_curve(metric: Metric, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds, and the share of errors within them, mean over joints."""
    return metric.protocol.thresholds, np.array(metric.protocol.metrics(errors)["curve"])


def _joint_errors(found):
    return {name: e for name in JOINT_METRICS if (e := found.errors.get(name)) is not None and e.shape[1] == NUM_JOINTS}


def _means(found, chosen):
    errors = _joint_errors(found)
    return {"samples": int(chosen.sum())} | {f: float(mean(e[chosen])) for f, e in errors.items()}
