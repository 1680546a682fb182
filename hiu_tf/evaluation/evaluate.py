"""Runs predictors over labelled batches and keeps every error, from which metrics, breakdowns and pages are made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import Joint
from hiu_tf.errors import UserError
from hiu_tf.evaluation.metrics import METRICS
from hiu_tf.evaluation.predictors import Predict
from hiu_tf.metrics.metric import Metric

#: Labels that metrics use besides the one that they compare with.
_LABELS = (keys.JOINTS_3D, keys.VISIBLE, keys.VERTICES, keys.MASK)
_JPEG_QUALITY = 85


@dataclass
class Samples:
    """Labels and pictures of the samples, in order. Pictures are kept as JPEG, so that thousands fit into memory.

    Attributes:
      ids: "set/sample".
      pictures: encoded crops.
      joints_2d, weight: labels [N, 21, 2] in crop pixels and their weights [N, 21].
      visible: [N, 21], 0 where the set labels a joint as hidden.
      palm_angle: [N] degrees between the palm's normal and the camera's axis, NaN without 3D labels.
      roll: [N] degrees between the upright direction and wrist -> middle finger in the picture, NaN without labels.
    """

    ids: list[str]
    pictures: list[bytes]
    joints_2d: np.ndarray
    weight: np.ndarray
    visible: np.ndarray
    palm_angle: np.ndarray
    roll: np.ndarray


@dataclass
class Measured:
    """Errors of one predictor on all samples.

    Attributes:
      errors: metric -> [N, columns] in its protocol's unit, NaN where there is no label.
      joints_2d, scores: predictions [N, 21, 2] in crop pixels, and confidences [N, 21] (NaN if it gives none).
    """

    errors: dict[str, np.ndarray]
    joints_2d: np.ndarray
    scores: np.ndarray


def measure(
    predictors: dict[str, Predict], batches: Iterable[dict], size: int, metrics: Iterable[Metric] = METRICS
) -> tuple[Samples, dict[str, Measured]]:
    """Runs the predictors and returns samples and errors. Predicted masks and meshes are not kept, to save memory.

    Args:
      predictors: name -> predictor.
      batches: dictionaries of arrays with image and labels, crops of side `size`.
      metrics: metrics to compute; those without any labelled sample are left out.

    Raises:
      UserError: there is no sample, or a prediction is not finite.
    """
    metrics, samples = tuple(metrics), []
    wanted = {*_LABELS, *(key for metric in metrics for key in (metric.label, metric.needs))}
    found = {name: [] for name in predictors}
    for batch in batches:
        labels = {name: batch[name] for name in wanted}
        labels[keys.MASK] = labels[keys.MASK][..., 0]
        samples.append(_samples(batch))
        for name, predict in predictors.items():
            predicted = predict(batch[keys.IMAGE])
            _require_finite(name, predicted, samples[-1].ids)
            found[name].append(_measured(predicted, labels, size, metrics))
    if not samples:
        raise UserError("there is no sample to measure: look at --split, --fold and --limit")
    return _joined(samples), {name: _all_errors(parts) for name, parts in found.items()}


def evaluate(
    predictors: dict[str, Predict], batches: Iterable[dict], size: int, metrics: Iterable[Metric] = METRICS
) -> dict[str, dict[str, float]]:
    """Metrics per predictor: {predictor: {metric: value}}; metrics without labels are left out."""
    metrics = tuple(metrics)
    _, measured = measure(predictors, batches, size, metrics)
    return {name: values(found, metrics) for name, found in measured.items()}


def values(found: Measured, metrics: Iterable[Metric] = METRICS) -> dict[str, float]:
    """{metric: value} from one predictor's errors."""
    return {metric.name: metric.value(found.errors[metric.name]) for metric in metrics if metric.name in found.errors}


def _require_finite(name, predicted, ids):
    for key, value in predicted.items():
        bad = np.flatnonzero(~np.isfinite(value.reshape(len(value), -1)).all(axis=1))
        if len(bad):
            raise UserError(f"{name or 'the network'} gives {key} that is not finite for the sample {ids[bad[0]]}")


def _measured(predicted, labels, size, metrics):
    same_mesh = 0 < predicted[keys.VERTICES].shape[1] == labels[keys.VERTICES].shape[1]
    # Meshes of sets without meshes, or labelled with another hand model, are not compared. A model may have no masks.
    chosen = [f for f in metrics if f.of in predicted and (same_mesh or f.needs != keys.HAS_MESH)]
    errors = {metric.name: metric.errors(predicted, labels, size).astype(np.float32) for metric in chosen}
    joints = predicted[keys.JOINTS_2D]
    return Measured(errors, joints, predicted.get(keys.SCORES, np.full(joints.shape[:2], np.nan)))


def _all_errors(parts):
    names = dict.fromkeys(name for part in parts for name in part.errors)
    errors = {name: _stacked(name, parts) for name in names}
    errors = {name: value for name, value in errors.items() if not np.isnan(value).all()}
    joints, scores = (np.concatenate([getattr(part, name) for part in parts]) for name in ("joints_2d", "scores"))
    return Measured(errors, joints, scores)


def _stacked(name, parts):
    """Concatenates the errors of all batches; NaN for batches of a set without the label."""
    columns = next(part.errors[name].shape[1] for part in parts if name in part.errors)
    missing = lambda part: np.full((len(part.joints_2d), columns), np.nan, np.float32)
    return np.concatenate([part.errors[name] if name in part.errors else missing(part) for part in parts])


def _samples(batch):
    pictures = [
        cv2.imencode(".jpg", (picture[..., ::-1] * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        for picture in batch[keys.IMAGE]
    ]
    ids = [f"{s.decode()}/{i.decode()}" for s, i in zip(batch[keys.DATASET], batch[keys.SAMPLE_ID])]
    flat, deep = batch[keys.JOINTS_2D], batch[keys.JOINTS_3D]
    along = flat[:, Joint.MIDDLE1] - flat[:, Joint.WRIST]
    across = np.cross(*(deep[:, joint] - deep[:, Joint.WRIST] for joint in (Joint.INDEX1, Joint.LITTLE1)))
    cosine = across[:, 2] / np.maximum(np.linalg.norm(across, axis=1), 1e-12)
    known = [batch[name].all(axis=1) for name in (keys.JOINTS_2D_WEIGHT, keys.JOINTS_3D_WEIGHT)]
    return Samples(
        ids=ids,
        pictures=[picture.tobytes() for picture in pictures],
        joints_2d=flat,
        weight=batch[keys.JOINTS_2D_WEIGHT],
        visible=batch[keys.VISIBLE],
        palm_angle=np.where(known[1], np.degrees(np.arccos(np.clip(cosine, -1, 1))), np.nan),
        roll=np.where(known[0], np.degrees(np.arctan2(along[:, 0], -along[:, 1])), np.nan),
    )


def _joined(parts):
    joined = {}
    for name in ("ids", "pictures"):
        joined[name] = [value for part in parts for value in getattr(part, name)]
    for name in ("joints_2d", "weight", "visible", "palm_angle", "roll"):
        joined[name] = np.concatenate([getattr(part, name) for part in parts])
    return Samples(**joined)
