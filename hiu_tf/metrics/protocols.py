"""Protocols: how predictions are compared with labels, as data. Every metric is printed with its protocol.

Results in one column of a paper's table may follow several protocols, which differ in roots, scales, ranges and steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hiu_tf.conventions.skeleton import JOINT_NAMES, NUM_JOINTS
from hiu_tf.geometry.alignment import procrustes
from hiu_tf.metrics.mask import boundary_f, iou, mean_iou
from hiu_tf.metrics.points import area

CENTROID = "centroid"
SIMILARITY, SIMILARITY_OR_MIRROR = "a similarity", "a similarity that may mirror"
_ALL = tuple(range(NUM_JOINTS))


@dataclass(frozen=True)
class PointProtocol:
    """How one benchmark compares predicted with labelled points.

    Attributes:
      name: of the protocol.
      dimensions: 2 (pixels) or 3 (metres in, millimetres out).
      origin: who uses it, on which set.
      data: split, hand and crop of the published numbers.
      low, high, steps, first: PCK at linspace(low, high, steps)[first:], area by the trapezoid rule.
      root: joint that is translated to the label's; CENTROID: that of the counted joints; None: no translation.
      scale: bone (parent, child) by whose length predictions are scaled to the label; CENTROID: by the mean distance
        to the centroid; None: no scaling.
      alignment: SIMILARITY or SIMILARITY_OR_MIRROR (Procrustes on the counted points), or None.
      joints: the counted joints; None: all points but the first, which is the root and not a vertex of the mesh.
      visible_only: whether joints that the set labels as hidden are not counted.
      strict: error < threshold instead of <=.
      rule: "trapezoid" over the thresholds, or the "mean" of the curve.
      per: quantity of each sample by which errors are divided ("head": 0.7 head sizes; "box": its side), or None.
      least: samples with fewer counted joints are left out.
    """

    name: str
    dimensions: int
    origin: str
    low: float
    high: float
    steps: int
    data: str = ""
    first: int = 0
    root: int | str | None = None
    scale: tuple[int, int] | str | None = None
    alignment: str | None = None
    joints: tuple[int, ...] | None = _ALL
    visible_only: bool = False
    strict: bool = False
    rule: str = "trapezoid"
    per: str | None = None
    least: int = 1

    @property
    def unit(self) -> str:
        """Unit of errors and thresholds."""
        return {"head": "of 0.7 head sizes", "box": "of the box's side"}.get(
            self.per, "px" if self.dimensions == 2 else "mm"
        )

    @property
    def thresholds(self) -> np.ndarray:
        """Thresholds of the PCK curve."""
        return np.linspace(self.low, self.high, self.steps)[self.first :]

    @property
    def words(self) -> str:
        """Describes the protocol in a sentence, which is printed with every metric of its curve."""
        t, sign = self.thresholds, "<" if self.strict else "<="
        curve = f"PCK (error {sign} t) at {len(t)} t from {t[0]:.4g} to {t[-1]:.4g} {self.unit}, {self.rule} rule"
        return f"{self.how}, {curve}, mean over joints"

    @property
    def how(self) -> str:
        """Describes what is compared, and the translation, scaling and alignment before errors are computed."""
        parts = [f"{self.origin}; {self.dimensions}D"]
        parts += [self.data] if self.data else []
        parts.append(self._points)
        parts += ["visible ones alone"] if self.visible_only else []
        parts += [f"of hands with {self.least} or more labelled"] if self.least > 2 else []
        if self.root is not None:
            parts.append(f"{self.root if self.root == CENTROID else JOINT_NAMES[self.root]} moved to the label's")
        if self.scale is not None:
            is_bone = self.scale != CENTROID
            what = (
                f"bone {'-'.join(JOINT_NAMES[j] for j in self.scale)}" if is_bone else "mean distance to the centroid"
            )
            parts.append(f"{what} scaled to the label's")
        return ", ".join(parts + ([f"aligned by {self.alignment}"] if self.alignment else []))

    @property
    def _points(self):
        if self.joints is None:
            return "all vertices"
        return "all joints" if self.joints == _ALL else ", ".join(JOINT_NAMES[j] for j in self.joints)

    @property
    def _needed(self):
        """Points whose labels a sample needs in order to be counted."""
        if self.alignment:
            return slice(None)
        root = [] if self.root in (None, CENTROID) else [self.root]
        return root + ([] if self.scale in (None, CENTROID) else list(self.scale))

    def errors(self, predicted, labelled, weight, size=None, visible=None) -> np.ndarray:
        """Errors [N, J] in `unit`, NaN for joints that are not counted.

        A sample is counted only if it has all labels that root, scale, alignment and `per` need.

        Args:
          predicted, labelled: [N, P, dimensions], P the 21 joints (or a root and V vertices).
          weight: [N, P], 0 for unlabelled joints, whose values are ignored.
          size: [N], divisor of the errors, for protocols with `per`.
          visible: [N, P], 0 for hidden joints, for protocols with visible_only. None: all are visible.
        """
        joints = slice(1, None) if self.joints is None else list(self.joints)
        is_labelled = weight > 0
        usable = is_labelled[:, self._needed].all(axis=1)
        found, labelled = (np.where(is_labelled[..., np.newaxis], points, 0) for points in (predicted, labelled))
        if self.per:
            usable &= size > 0
            size = np.where(usable, size, 1)
        counted = is_labelled[:, joints] & usable[:, np.newaxis]
        if self.visible_only and visible is not None:
            counted &= visible[:, joints] > 0
        mask = is_labelled[:, joints, np.newaxis]
        if self.scale == CENTROID:
            found = found * _spread(labelled[:, joints], mask) / np.maximum(_spread(found[:, joints], mask), 1e-12)
        elif self.scale is not None:
            found = found * _length(labelled, self.scale) / np.maximum(_length(found, self.scale), 1e-12)
        truth = labelled
        # Both are made relative to their roots, so that the root itself has an error of exactly 0, as in the tool kits.
        if self.root == CENTROID:
            found, truth = found - _centre(found[:, joints], mask), truth - _centre(truth[:, joints], mask)
        elif self.root is not None:
            found, truth = found - found[:, [self.root]], truth - truth[:, [self.root]]
        found, truth = found[:, joints], truth[:, joints]
        if self.alignment:
            found = procrustes(found, truth, self.alignment == SIMILARITY_OR_MIRROR)
        distance = np.linalg.norm(found - truth, axis=-1) * (1000 if self.dimensions == 3 else 1)
        distance = distance / size[:, np.newaxis] if self.per else distance
        return np.where(counted & (counted.sum(axis=1, keepdims=True) >= self.least), distance, np.nan)

    def areas(self, errors: np.ndarray) -> np.ndarray:
        """Contribution of each error to the area under the curve, 0..1; NaN for NaN errors.

        The area is the mean of these over samples, then over joints.
        """
        t = self.thresholds
        missed = np.searchsorted(t, errors, side="right" if self.strict else "left")  # thresholds below the error
        steps = np.arange(len(t) + 1)
        if self.rule == "mean":
            table = (len(t) - steps) / len(t)
        else:
            table = np.clip((len(t) - 1 - steps + 0.5 * (steps > 0)) / (len(t) - 1), 0, 1)
        return np.where(np.isnan(errors), np.nan, table[missed])

    def metrics(self, errors: np.ndarray) -> dict[str, float | list[float]]:
        """Mean and median error over joints, area under the curve, and the curve, of errors [N, J].

        Means and medians are computed for each joint first, then averaged over joints, as in the tool kits.
        """
        columns = [column[~np.isnan(column)] for column in errors.T]
        columns = [column for column in columns if len(column)]
        if not columns:
            return {"mean": float("nan"), "median": float("nan"), "auc": float("nan"), "curve": []}
        within = np.less if self.strict else np.less_equal
        curves = np.array([within(column[:, np.newaxis], self.thresholds).mean(axis=0) for column in columns])
        return {
            "mean": float(np.mean([column.mean() for column in columns])),
            "median": float(np.mean([np.median(column) for column in columns])),
            "auc": float(np.mean([area(curve, self.thresholds, self.rule) for curve in curves])),
            "curve": curves.mean(axis=0).tolist(),
        }


@dataclass(frozen=True)
class MaskProtocol:
    """How predicted and labelled masks are compared. Masks are thresholded at 0.5.

    Attributes:
      name: of the protocol.
      measure: (predicted, labelled, known [N, H, W] or None) -> quality [N, columns], 0..1; pixels that are not known do not count.
      origin: who uses it.
      what: description of the measure.
    """

    name: str
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]
    origin: str
    what: str

    @property
    def words(self) -> str:
        """Describes the protocol in a sentence."""
        return f"{self.origin}; masks cut at 0.5, {self.what}, pixels of the picture alone, mean over samples"


MASK_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        MaskProtocol("iou", lambda *masks: iou(*masks)[:, np.newaxis], "HIU-DMTL 2021, HIU-Data", "IoU of the hand"),
        MaskProtocol("miou", mean_iou, "mIoU of hand and background", "IoU of hand and of background, mean of both"),
        MaskProtocol("boundary_f", lambda *masks: boundary_f(*masks)[:, np.newaxis], "DAVIS 2016", "F-score of the outlines within 0.8% of the diagonal"),
    )
}  # fmt: skip


_OURS = "our table"
PIXELS_0_30 = PointProtocol(
    "pixels_0_30",
    2,
    "hand3d, MobRecon, Boukhayma et al. 2019 (CMU); for HIU-Data our inference, in a crop of 256",
    0,
    30,
    20,
)
OF_BOX = PointProtocol("box", 2, _OURS, 0, 0.2, 21, per="box")
ROOT = PointProtocol("root", 3, _OURS, 0, 50, 100, root=0, least=NUM_JOINTS)
ALIGNED = PointProtocol("aligned", 3, _OURS, 0, 50, 100, alignment=SIMILARITY, least=NUM_JOINTS)
#: Changes that turn a protocol for joints into one for the vertices of a mesh.
ALL_VERTICES = {"joints": None, "least": 1}


def _centre(points, mask):
    return (points * mask).sum(axis=1, keepdims=True) / np.maximum(mask.sum(axis=1, keepdims=True), 1)


def _spread(points, mask):
    distance = np.linalg.norm((points - _centre(points, mask)) * mask, axis=-1, keepdims=True)
    return distance.sum(axis=1, keepdims=True) / np.maximum(mask.sum(axis=1, keepdims=True), 1)


def _length(points, bone):
    return np.linalg.norm(points[:, bone[1]] - points[:, bone[0]], axis=-1)[:, np.newaxis, np.newaxis]
