"""Runs predictors over labelled batches and computes every protocol that the labels allow."""

from collections.abc import Iterable

import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.evaluation.predictors import Predict
from hiu_tf.evaluation.protocols import PROTOCOLS

_LABELS = (
    keys.JOINTS_2D, keys.JOINTS_2D_WEIGHT, keys.JOINTS_3D, keys.JOINTS_3D_WEIGHT,
    keys.MASK, keys.MASK_WEIGHT, keys.VERTICES, keys.HAS_MESH,
)  # fmt: skip


def evaluate(predictors: dict[str, Predict], batches: Iterable[dict], size: int) -> dict[str, dict[str, float]]:
    """Figures per predictor: {predictor: {protocol: value}}; protocols without labels are left out.

    Args:
      predictors: by name.
      batches: dictionaries of arrays with image and labels, crops of side `size`.
    """
    labels = {name: [] for name in _LABELS}
    found = {name: [] for name in predictors}
    for batch in batches:
        for name in _LABELS:
            labels[name].append(batch[name])
        for name, predict in predictors.items():
            found[name].append(predict(batch[keys.IMAGE]))
    labels = {name: np.concatenate(values) for name, values in labels.items()}
    labels[keys.MASK] = labels[keys.MASK][..., 0]
    merged = {name: {key: np.concatenate([b[key] for b in rows]) for key in rows[0]} for name, rows in found.items()}
    return {name: _figures(values, labels, size) for name, values in merged.items()}


def _figures(predicted, labels, size):
    figures = {}
    same_mesh = predicted[keys.VERTICES].shape[1] == labels[keys.VERTICES].shape[1]
    for protocol in PROTOCOLS:
        if protocol.needs == keys.HAS_MESH and not same_mesh:
            continue  # labelled with another hand model: its vertices are not ours
        weight = labels[protocol.needs]
        chosen = weight.reshape(len(weight), -1).any(axis=1)
        if chosen.any():
            subset = [{name: value[chosen] for name, value in part.items()} for part in (predicted, labels)]
            figures[protocol.name] = protocol.compute(*subset, size)
    return figures
