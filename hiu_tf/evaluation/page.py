"""The page of an evaluation: metrics with their protocols, curves, breakdowns of errors, best and worst samples."""

from __future__ import annotations

import cv2
import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.evaluation import analysis
from hiu_tf.evaluation.evaluate import Measured, Samples
from hiu_tf.evaluation.metrics import METRICS
from hiu_tf.evaluation.published import published, published_curve, published_rows
from hiu_tf.html import Page
from hiu_tf.metrics.protocols import PointProtocol
from hiu_tf.pictures import decode_rgb
from hiu_tf.runtime.draw import draw_skeleton

_SHOWN, _TILE = 8, 160
#: Metric -> name and unit of its errors.
_ERRORS = {
    "joints_2d_auc": "2D (px of 256)",
    "projected_2d_auc": "2D from 3D (px of 256)",
    "joints_3d_root": "3D from the wrist (mm)",
    "joints_3d_aligned": "3D aligned (mm)",
}
_RANKED_BY = ("joints_2d_auc", "joints_3d_aligned", "mask_iou")


def add_dataset(page: Page, name: str, samples: Samples, measured: dict[str, Measured], metrics=METRICS) -> None:
    """Appends a section for one data set. The first predictor is the model; the others are shown for comparison."""
    page.heading(f"{name}: {samples.count} samples")
    _add_metrics(page, measured, metrics)
    if len(samples.ids) < samples.count:
        page.text(f"All below is of {len(samples.ids)} of the samples, evenly spaced.")
    _add_curves(page, name, measured, metrics)
    model = next(iter(measured.values()))
    for title, rows in (
        ("joint", analysis.by_joint(model)),
        ("finger", analysis.by_finger(model)),
        ("angle", analysis.by_angle(model, samples)),
        ("gesture", analysis.by_gesture(model, samples)),
        ("occlusion", analysis.by_occlusion(model, samples)),
    ):
        _add_breakdown(page, title, rows)
    _add_calibration(page, analysis.calibration(model))
    _add_extremes(page, samples, model)


def add_published(page: Page) -> None:
    """Appends tables of published results of others."""
    page.heading("Published numbers of others (not measured here)")
    for benchmark, entry in published().items():
        page.text(f"{entry['what']}. Source: {entry['source']}")
        page.table(*published_rows(benchmark))


def _add_metrics(page, measured, metrics):
    found = {name: part.values for name, part in measured.items()}
    used = [metric for metric in metrics if any(metric.name in part for part in found.values())]
    title = lambda f: f"{f.name} {'↑' if f.higher_is_better else '↓'} ({f.unit})"
    page.table(["metric", *found], [[title(f), *(part.get(f.name, "-") for part in found.values())] for f in used])
    page.items([f"{metric.name}: {metric.words}" for metric in used])


def _add_curves(page, name, measured, metrics):
    panels = {}
    for metric in metrics:
        if metric.statistic == "auc" and isinstance(metric.protocol, PointProtocol):
            lines = {
                who: analysis.pck_curve(metric, part.errors[metric.name])
                for who, part in measured.items()
                if metric.name in part.errors
            }
            other = published_curve(name) if name in published() and _is_20_to_50_mm(metric) else None
            if other and lines:
                lines[f"{other[0]}, published"] = (*other[1:], "--")
            if lines:
                panels[f"{metric.name} (t in {metric.protocol.unit})"] = lines
    if panels:
        page.text("Share of errors within t, mean over joints.")
        page.curves(panels, xlabel="t")


def _is_20_to_50_mm(metric):
    return metric.of == keys.JOINTS_3D and metric.protocol.thresholds[0] >= 20


def _add_breakdown(page, title, rows):
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    if not columns:
        return
    page.text(f"Mean errors by {title}")
    header = [title, *(_ERRORS.get(name, name) for name in columns)]
    page.table(header, [[name, *(row.get(c, "-") for c in columns)] for name, row in rows.items()])


def _add_calibration(page, rows):
    if not rows:
        return
    confidence, right = ([row[name] for row in rows] for name in ("confidence", "right"))
    page.text(f"Confidence against the share of joints within {analysis.RIGHT_PX:g} px of a crop of 256.")
    page.curves({"calibration": {"model": (confidence, right, "o-"), "ideal": ([0, 1], [0, 1], "--")}}, "confidence")
    page.table(
        ["confidence", "joints", "right", "error (px of 256)"],
        [[r["confidence"], r["joints"], r["right"], r["error"]] for r in rows],
    )


def _add_extremes(page, samples, found):
    ranked = analysis.sample_values(found)
    for metric in (f for f in METRICS if f.name in _RANKED_BY and f.name in ranked):
        value = ranked[metric.name]
        order = np.argsort(np.where(np.isnan(value), np.inf, value if not metric.higher_is_better else -value))
        order = [n for n in order if not np.isnan(value[n])]
        for title, chosen in (("best", order[:_SHOWN]), ("worst", order[::-1][:_SHOWN])):
            tiles = [_tile(samples, found, n) for n in chosen]
            what = ", ".join(f"{samples.ids[n]}: {value[n]:.3g}" for n in chosen)
            page.picture(
                np.concatenate(tiles, axis=1), f"{title} by {metric.name} (above label, below prediction): {what}"
            )


def _tile(samples, found, n):
    picture = decode_rgb(samples.pictures[n])
    scale = _TILE / len(picture)
    picture = cv2.resize(picture, (_TILE, _TILE))
    label = (
        draw_skeleton(picture, scale * samples.joints_2d[n], samples.weight[n]) if samples.weight[n].all() else picture
    )
    known = np.isfinite(found.joints_2d[n]).all()  # not by a network without heat maps
    return np.concatenate([label, draw_skeleton(picture, scale * found.joints_2d[n]) if known else picture])
