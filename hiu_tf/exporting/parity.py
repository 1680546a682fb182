"""Parity: how far predictions of an exported file are from those of its network, and how much each metric changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.evaluation.evaluate import measure
from hiu_tf.evaluation.predictors import Predict
from hiu_tf.metrics.metric import mean
from hiu_tf.tables import markdown_table

_CROP = 256
_MESH = ("mesh_root", "mesh_aligned")


class Limits(NamedTuple):
    """Limits of one kind of file.

    Attributes:
      pixels, millimetres: of the median difference of its points from the network's, and of the change of mean errors;
        pixels of a crop of 256.
      probability: of the mean absolute difference of the mask and of the side.
    """

    pixels: float
    millimetres: float
    probability: float


class Parity(NamedTuple):
    """Differences of one exported file from the Keras network, over some pictures.

    Attributes:
      pixels, millimetres: (median, mean, max) distance between the two predictions: of 2D joints in pixels of a crop
        of 256, and of wrist-relative vertices in millimetres.
      mask, right: mean absolute difference of the mask and of the probability of a right hand; 0 for what the file or
        the network does not predict.
      pixel_error: change of the mean 2D error, pixels of a crop of 256; NaN without 2D labels.
      changes: metric -> value of the file minus value of the network.
      pictures: number of pictures.
    """

    pixels: tuple[float, float, float]
    millimetres: tuple[float, float, float]
    mask: float
    right: float
    pixel_error: float
    changes: dict[str, float]
    pictures: int


def parity(reference: Predict, candidates: dict[str, Predict], batches: Iterable[dict], size: int) -> dict[str, Parity]:
    """Compares candidates with the reference over labelled batches: {name: parity}."""
    differences = {name: [] for name in candidates}
    last = {}

    def remember(image):
        last.clear()
        last.update(reference(image))
        return dict(last)

    def compared(name, predict):
        def answer(image):
            found = predict(image)
            differences[name].append(_differences(last, found, size))
            return found

        return answer

    predictors = {"": remember} | {name: compared(name, predict) for name, predict in candidates.items()}
    samples, measured = measure(predictors, batches, size, sides=False)
    expected = measured[""].values
    found = {}
    for name in candidates:
        flat, deep, mask, right = (np.concatenate(parts) for parts in zip(*differences[name]))
        changes = {metric: value - expected[metric] for metric, value in measured[name].values.items()}
        moved = [(float(np.median(d)), float(d.mean()), float(d.max())) for d in (flat, deep)]
        pixel_error = _pixel_error(measured[name]) - _pixel_error(measured[""])
        found[name] = Parity(*moved, float(mask.mean()), float(right.mean()), pixel_error, changes, samples.count)
    return found


def beyond_limits(found: dict[str, Parity], allowed: dict[str, Limits]) -> dict[str, str]:
    """Finds files whose predictions or errors differ by more than the limits: {name: description}.

    Args:
      found: name -> parity.
      allowed: name -> limits.
    """
    wrong = {}
    for name, part in found.items():
        limits = allowed[name]
        checks = [
            ("2D joints move", part.pixels[0], limits.pixels, " px"),
            ("the mesh moves", part.millimetres[0], limits.millimetres, " mm"),
            ("the mask changes", part.mask, limits.probability, ""),
            ("the side changes", part.right, limits.probability, ""),
        ]
        if not np.isnan(part.pixel_error):
            checks.append(("the 2D error changes", part.pixel_error, limits.pixels, " px"))
        checks += [
            (f"{metric} changes", part.changes[metric], limits.millimetres, " mm")
            for metric in _MESH
            if metric in part.changes
        ]
        texts = [
            f"{what} by {value:.3g}{unit} (limit {limit:g})"
            for what, value, limit, unit in checks
            if not abs(value) <= limit  # NaN fails, too
        ]
        wrong |= {name: ", ".join(texts)} if texts else {}
    return wrong


def parity_table(found: dict[str, Parity]) -> str:
    """Formats as Markdown: differences, and the change of every metric."""
    metrics = list(dict.fromkeys(name for part in found.values() for name in part.changes))
    header = [
        "file",
        "pictures",
        "2D px of 256 (median / mean / max)",
        "mesh mm (median / mean / max)",
        "mask",
        "side",
        "Δ 2D error (px)",
        *(f"Δ {f}" for f in metrics),
    ]
    rows = []
    for name, part in found.items():
        moved = [" / ".join(f"{value:.3g}" for value in part_of) for part_of in (part.pixels, part.millimetres)]
        changes = [f"{part.changes[f]:+.4f}" if f in part.changes else "-" for f in metrics]
        rows.append(
            [name, part.pictures, *moved, f"{part.mask:.2g}", f"{part.right:.2g}", f"{part.pixel_error:+.3f}", *changes]
        )
    return markdown_table(header, rows)


def _pixel_error(found):
    """Mean over joints of the mean 2D error; NaN without labels."""
    errors = found.errors.get("joints_2d_auc")
    return float("nan") if errors is None else float(mean(mean(errors, axis=0)))


def _differences(a, b, size):
    """Of two predictions for one batch: of each joint in pixels of _CROP, each vertex in millimetres, mask and side."""
    flat = np.linalg.norm(a[keys.JOINTS_2D] - b[keys.JOINTS_2D], axis=-1) * _CROP / size
    meshes = [part[keys.VERTICES] - part[keys.JOINTS_3D][:, :1] for part in (a, b)]
    deep = 1000 * np.linalg.norm(meshes[0] - meshes[1], axis=-1)
    return flat, deep, *(_difference(a, b, key) for key in (keys.MASK, keys.RIGHT))


def _difference(a, b, key):
    both = key in a and key in b
    return np.abs(a[key] - b[key]) if both else np.zeros(1)
