"""Runs predictors over labelled batches: metrics over all samples, and errors of some for breakdowns and pages.

Memory does not grow with the number of samples: the metrics are running sums, and of large sets evenly spaced batches
are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import Joint
from hiu_tf.errors import UserError
from hiu_tf.evaluation.metrics import METRICS
from hiu_tf.evaluation.predictors import Predict
from hiu_tf.evaluation.sides import as_seen
from hiu_tf.metrics.metric import Metric, mean
from hiu_tf.runtime.gestures import gesture

#: Labels that metrics use besides the one that they compare with.
_LABELS = (
    keys.JOINTS_2D,
    keys.JOINTS_3D,
    keys.JOINTS_3D_WEIGHT,
    keys.VISIBLE,
    keys.VERTICES,
    keys.MASK,
    keys.IN_PICTURE,
)
_JPEG_QUALITY = 85
NO_GESTURE = "none of these"
#: Of more batches than this, evenly spaced ones are kept (with 32 samples each: 10,240).
_MOST_BATCHES = 320


@dataclass
class Samples:
    """Labels and pictures of the kept samples, in order. Pictures are kept as JPEG, so that thousands fit into memory.

    Attributes:
      count: number of samples that were measured, kept or not.
      ids: "set/sample".
      pictures: encoded crops.
      joints_2d, weight: labels [N, 21, 2] in crop pixels and their weights [N, 21].
      visible: [N, 21], 0 where the set labels a joint as hidden.
      palm_angle: [N] degrees between the palm's normal and the camera's axis, NaN without 3D labels.
      roll: [N] degrees between the upright direction and wrist -> middle finger in the picture, NaN without labels.
      gesture: [N] gesture of the labelled joints (runtime/gestures.py), "none of these", or "" without 3D labels.
      outside: number of labelled 2D joints of all measured samples that their crops leave out, so that they do not count.
    """

    count: int
    ids: list[str]
    pictures: list[bytes]
    joints_2d: np.ndarray
    weight: np.ndarray
    visible: np.ndarray
    palm_angle: np.ndarray
    roll: np.ndarray
    gesture: np.ndarray
    outside: int = 0


@dataclass
class Measured:
    """Results of one predictor.

    Attributes:
      values: metric -> value over all samples, empty for a single batch; metrics without labels are left out.
      errors: metric -> [N, columns] of the kept samples in its protocol's unit, NaN where there is no label.
      joints_2d, scores: predictions for the kept samples [N, 21, 2] in crop pixels, and confidences [N, 21]; NaN if it
        gives none.
    """

    values: dict[str, float]
    errors: dict[str, np.ndarray]
    joints_2d: np.ndarray
    scores: np.ndarray


def measure(
    predictors: dict[str, Predict],
    batches: Iterable[dict],
    size: int,
    metrics: Iterable[Metric] = METRICS,
    each_batch: Callable[[list[str], dict[str, Measured]], None] = lambda ids, measured: None,
    sides: bool = True,
) -> tuple[Samples, dict[str, Measured]]:
    """Runs the predictors. Predicted masks and meshes are not kept, to save memory.

    Args:
      predictors: name -> predictor.
      batches: dictionaries of arrays with image and labels, crops of side `size`.
      metrics: metrics to compute; those without any labelled sample are left out.
      each_batch: called with the ids and results of each batch.
      sides: whether hands of unlabelled side are predicted as the side that the network sees (evaluation/sides.py).

    Raises:
      UserError: there is no sample, or a prediction is not finite.
    """
    metrics, count, outside, kept = tuple(metrics), 0, 0, _Spaced(_MOST_BATCHES)
    wanted = {*_LABELS, *(key for metric in metrics for key in (metric.label, metric.needs))}
    sums = {name: {metric.name: _Sum(metric) for metric in metrics} for name in predictors}
    for batch in batches:
        labels = {name: batch[name] for name in wanted if name in batch or name != keys.IN_PICTURE}
        labels[keys.MASK] = labels[keys.MASK][..., 0]
        ids, measured = _ids(batch), {}
        known = batch[keys.RIGHT_WEIGHT] > 0 if sides and keys.RIGHT_WEIGHT in batch else np.ones(len(ids), bool)
        for name, predict in predictors.items():
            predicted = as_seen(predict, batch[keys.IMAGE], known)
            _require_finite(name, predicted, ids)
            measured[name] = _measured(predicted, labels, size, metrics)
            for metric, errors in measured[name].errors.items():
                sums[name][metric].add(errors)
        each_batch(ids, measured)
        if kept.takes_next():
            kept.add((_samples(batch), measured))
        count += len(ids)
        outside += int(np.sum(batch.get(keys.JOINTS_OUTSIDE, 0)))
    if not count:
        raise UserError("there is no sample to measure: look at --split, --fold and --limit")
    parts, answers = zip(*kept.parts)
    everyone = {name: _joined_answers([answer[name] for answer in answers], sums[name]) for name in predictors}
    return _joined(parts, count, outside), everyone


def evaluate(
    predictors: dict[str, Predict], batches: Iterable[dict], size: int, metrics: Iterable[Metric] = METRICS
) -> dict[str, dict[str, float]]:
    """Metrics per predictor: {predictor: {metric: value}}; metrics without labels are left out."""
    return {name: found.values for name, found in measure(predictors, batches, size, metrics)[1].items()}


class _Sum:
    """The value of a metric over any number of batches."""

    def __init__(self, metric):
        self._metric, self._sums, self._counts = metric, 0.0, 0

    def add(self, errors):
        values = self._metric.contributions(errors)
        self._sums = self._sums + np.nansum(values, axis=0, dtype=np.float64)
        self._counts = self._counts + (~np.isnan(values)).sum(axis=0)

    @property
    def value(self) -> float:
        """Mean over columns of the mean over samples; NaN without a label."""
        return float(mean(self._sums / np.where(self._counts > 0, self._counts, np.nan)))


class _Spaced:
    """Keeps every part of a few, and evenly spaced ones of many: at most `most`."""

    def __init__(self, most):
        self.parts, self._most, self._seen, self._every = [], most, 0, 1

    def takes_next(self) -> bool:
        """Whether the next part, which is counted by this, is to be added."""
        self._seen += 1
        return (self._seen - 1) % self._every == 0

    def add(self, part):
        self.parts.append(part)
        if len(self.parts) > self._most:
            self.parts, self._every = self.parts[::2], 2 * self._every


def _require_finite(name, predicted, ids):
    for key, value in predicted.items():
        bad = np.flatnonzero(~np.isfinite(value.reshape(len(value), -1)).all(axis=1))
        if len(bad):
            raise UserError(f"{name or 'the network'} gives {key} that is not finite for the sample {ids[bad[0]]}")


def _measured(predicted, labels, size, metrics):
    same_mesh = keys.VERTICES in predicted and 0 < predicted[keys.VERTICES].shape[1] == labels[keys.VERTICES].shape[1]
    # Meshes of sets without meshes, or labelled with another hand model, are not compared. A model may lack some outputs.
    chosen = [f for f in metrics if f.of in predicted and (same_mesh or f.needs != keys.HAS_MESH)]
    errors = {metric.name: metric.errors(predicted, labels, size).astype(np.float32) for metric in chosen}
    unknown = np.full_like(labels[keys.JOINTS_2D], np.nan)
    joints, scores = predicted.get(keys.JOINTS_2D, unknown), predicted.get(keys.SCORES, unknown[..., 0])
    return Measured({}, errors, joints, scores)


def _joined_answers(parts, sums):
    values = {name: total.value for name, total in sums.items()}
    values = {name: value for name, value in values.items() if not np.isnan(value)}
    names = dict.fromkeys(name for part in parts for name in part.errors)
    errors = {name: _stacked(name, parts) for name in names}
    errors = {name: value for name, value in errors.items() if not np.isnan(value).all()}
    joints, scores = (np.concatenate([getattr(part, name) for part in parts]) for name in ("joints_2d", "scores"))
    return Measured(values, errors, joints, scores)


def _stacked(name, parts):
    """Concatenates the errors of all batches; NaN for batches of a set without the label."""
    columns = next(part.errors[name].shape[1] for part in parts if name in part.errors)
    missing = lambda part: np.full((len(part.joints_2d), columns), np.nan, np.float32)
    return np.concatenate([part.errors[name] if name in part.errors else missing(part) for part in parts])


def _ids(batch):
    return [f"{s.decode()}/{i.decode()}" for s, i in zip(batch[keys.DATASET], batch[keys.SAMPLE_ID])]


def _samples(batch):
    pictures = [
        cv2.imencode(".jpg", (picture[..., ::-1] * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        for picture in batch[keys.IMAGE]
    ]
    flat, deep = batch[keys.JOINTS_2D], batch[keys.JOINTS_3D]
    along = flat[:, Joint.MIDDLE1] - flat[:, Joint.WRIST]
    across = np.cross(*(deep[:, joint] - deep[:, Joint.WRIST] for joint in (Joint.INDEX1, Joint.LITTLE1)))
    cosine = across[:, 2] / np.maximum(np.linalg.norm(across, axis=1), 1e-12)
    known = [batch[name].all(axis=1) for name in (keys.JOINTS_2D_WEIGHT, keys.JOINTS_3D_WEIGHT)]
    return Samples(
        count=len(pictures),
        ids=_ids(batch),
        pictures=[picture.tobytes() for picture in pictures],
        joints_2d=flat,
        weight=batch[keys.JOINTS_2D_WEIGHT],
        visible=batch[keys.VISIBLE],
        palm_angle=np.where(known[1], np.degrees(np.arccos(np.clip(cosine, -1, 1))), np.nan),
        roll=np.where(known[0], np.degrees(np.arctan2(along[:, 0], -along[:, 1])), np.nan),
        gesture=np.array([_gesture(*hand) for hand in zip(deep, flat, known[1])], object),
    )


def _gesture(joints_3d, joints_2d, is_known):
    return (gesture(joints_3d, joints_2d) or NO_GESTURE) if is_known else ""


def _joined(parts, count, outside):
    joined = {"count": count, "outside": outside}
    for name in ("ids", "pictures"):
        joined[name] = [value for part in parts for value in getattr(part, name)]
    for name in ("joints_2d", "weight", "visible", "palm_angle", "roll", "gesture"):
        joined[name] = np.concatenate([getattr(part, name) for part in parts])
    return Samples(**joined)
