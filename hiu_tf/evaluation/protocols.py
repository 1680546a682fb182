"""What is measured, in words and in code. Every figure is printed with its protocol's own words.

All 2D figures are in pixels of a crop of 256: crops of another size are scaled to it first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.geometry.alignment import procrustes, root_relative
from hiu_tf.metrics.mask import iou
from hiu_tf.metrics.points import distances, pck_auc

RENDERED_MASK = "rendered_mask"


@dataclass(frozen=True)
class Protocol:
    """One figure: its name, unit, direction, exact words, and how to compute it.

    `compute` takes (predictions, labels, crop_size), dictionaries of arrays over all samples that
    have the label, and returns a float. `needs` is the weight that says which samples those are.
    """

    name: str
    unit: str
    higher_is_better: bool
    words: str
    needs: str
    compute: Callable[[dict, dict, int], float]


def _joints_2d_errors(name):
    def errors(predicted, labels, size):
        return distances(predicted[name], labels[keys.JOINTS_2D], labels[keys.JOINTS_2D_WEIGHT]) * 256 / size

    return errors


def _auc_2d(name):
    return lambda p, t, size: pck_auc(_joints_2d_errors(name)(p, t, size), 0, 30, 20)


def _box_error(predicted, labels, size):
    errors = _joints_2d_errors(keys.JOINTS_2D)(predicted, labels, size) * size / 256
    points = np.where(labels[keys.JOINTS_2D_WEIGHT][..., np.newaxis] > 0, labels[keys.JOINTS_2D], np.nan)
    side = (np.nanmax(points, axis=1) - np.nanmin(points, axis=1)).max(axis=1)
    return float(np.mean(np.nanmean(errors, axis=1) / side))


def _root_error(name):
    def compute(predicted, labels, size):
        a = root_relative(predicted[name], predicted[keys.JOINTS_3D][:, 0])
        b = root_relative(labels[name], labels[keys.JOINTS_3D][:, 0])
        return float(np.linalg.norm(a - b, axis=-1).mean() * 1000)

    return compute


def _aligned_errors_mm(name, predicted, labels):
    return np.linalg.norm(procrustes(predicted[name], labels[name]) - labels[name], axis=-1) * 1000


def _aligned_error(name):
    return lambda p, t, size: float(_aligned_errors_mm(name, p, t).mean())


PROTOCOLS = (
    Protocol(
        "joints_2d_auc",
        "0..1",
        True,
        "2D joints from heat maps: area under PCK, 0-30 px of a 256 crop, 20 thresholds",
        keys.JOINTS_2D_WEIGHT,
        _auc_2d(keys.JOINTS_2D),
    ),
    Protocol(
        "joints_2d_box_error",
        "share of box",
        False,
        "2D joints: mean distance / longer side of the labelled joints' box",
        keys.JOINTS_2D_WEIGHT,
        _box_error,
    ),
    Protocol(
        "projected_2d_auc",
        "0..1",
        True,
        "2D joints projected from 3D: area under PCK, 0-30 px of a 256 crop, 20 thresholds",
        keys.JOINTS_2D_WEIGHT,
        _auc_2d(keys.JOINTS_2D_PROJECTED),
    ),
    Protocol(
        "mask_iou",
        "0..1",
        True,
        "mask: mean IoU at 0.5",
        keys.MASK_WEIGHT,
        lambda p, t, s: float(iou(p[keys.MASK], t[keys.MASK]).mean()),
    ),
    Protocol(
        "rendered_mask_iou",
        "0..1",
        True,
        "mask rendered from the mesh: mean IoU at 0.5",
        keys.MASK_WEIGHT,
        lambda p, t, s: float(iou(p[RENDERED_MASK], t[keys.MASK]).mean()),
    ),
    Protocol(
        "joints_3d_root",
        "mm",
        False,
        "3D joints: mean distance after both wrists are put in the origin",
        keys.JOINTS_3D_WEIGHT,
        _root_error(keys.JOINTS_3D),
    ),
    Protocol(
        "joints_3d_aligned",
        "mm",
        False,
        "3D joints: mean distance after similarity Procrustes, no reflection",
        keys.JOINTS_3D_WEIGHT,
        _aligned_error(keys.JOINTS_3D),
    ),
    Protocol(
        "joints_3d_aligned_auc",
        "0..1",
        True,
        "3D joints: area under PCK after Procrustes, 0-50 mm, 100 thresholds",
        keys.JOINTS_3D_WEIGHT,
        lambda p, t, s: pck_auc(_aligned_errors_mm(keys.JOINTS_3D, p, t), 0, 50, 100),
    ),
    Protocol(
        "mesh_root",
        "mm",
        False,
        "mesh: mean vertex distance after both wrists are put in the origin",
        keys.HAS_MESH,
        _root_error(keys.VERTICES),
    ),
    Protocol(
        "mesh_aligned",
        "mm",
        False,
        "mesh: mean vertex distance after similarity Procrustes, no reflection",
        keys.HAS_MESH,
        _aligned_error(keys.VERTICES),
    ),
    Protocol(
        "mesh_aligned_auc",
        "0..1",
        True,
        "mesh: area under PCK of vertices after Procrustes, 0-50 mm, 100 thresholds",
        keys.HAS_MESH,
        lambda p, t, s: pck_auc(_aligned_errors_mm(keys.VERTICES, p, t), 0, 50, 100),
    ),
)
