"""Published ways of measuring key points, as data: what is compared, moved, scaled and integrated.

One column of a paper's table can hide four protocols: roots, scales, ranges and steps differ. Each
figure here carries the words of its protocol. Sources: facts of the data sets, 4, 5, 6 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hiu_tf.conventions.skeleton import JOINT_NAMES, NUM_JOINTS, TIPS
from hiu_tf.errors import UserError

CENTROID = "centroid"
_ALL = tuple(range(NUM_JOINTS))


@dataclass(frozen=True)
class PointProtocol:
    """How one benchmark compares predicted with labelled key points.

    Attributes:
      name: of the protocol.
      dimensions: 2 (pixels) or 3 (metres in, millimetres out).
      origin: who uses it, on which set.
      low, high, steps, first: PCK at linspace(low, high, steps)[first:], area by the trapezoid rule.
      root: joint that is moved to the label's, CENTROID of the joints that count, or None.
      scale: bone (parent, child) whose predicted length is made the label's; CENTROID: the mean distance
        to the centroid is; None: predictions keep their size.
      joints: which ones count.
      visible_only: whether joints that the set calls hidden do not count.
      strict: error < threshold instead of <=.
      rule: "trapezoid" over the thresholds, or the "mean" of the curve.
      per: errors are divided by this quantity of each sample ("head" of 0.7 head sizes, "box" side), or None.
      least: samples with fewer joints that count are left out.
    """

    name: str
    dimensions: int
    origin: str
    low: float
    high: float
    steps: int
    first: int = 0
    root: int | str | None = None
    scale: tuple[int, int] | str | None = None
    joints: tuple[int, ...] = _ALL
    visible_only: bool = False
    strict: bool = False
    rule: str = "trapezoid"
    per: str | None = None
    least: int = 1

    @property
    def unit(self) -> str:
        """Of errors and thresholds."""
        return {"head": "of 0.7 head sizes", "box": "of the box's side"}.get(
            self.per, "px" if self.dimensions == 2 else "mm"
        )

    @property
    def thresholds(self) -> np.ndarray:
        """Where the curve is computed."""
        return np.linspace(self.low, self.high, self.steps)[self.first :]

    @property
    def words(self) -> str:
        """The protocol in a sentence, to be printed with every figure."""
        t, parts = self.thresholds, [f"{self.origin}; {self.dimensions}D"]
        parts.append("all joints" if self.joints == _ALL else ", ".join(JOINT_NAMES[j] for j in self.joints))
        parts += ["visible ones alone"] if self.visible_only else []
        if self.root is not None:
            parts.append(f"{self.root if self.root == CENTROID else JOINT_NAMES[self.root]} moved to the label's")
        if self.scale is not None:
            what = (
                "mean distance to the centroid"
                if self.scale == CENTROID
                else "bone " + "-".join(JOINT_NAMES[j] for j in self.scale)
            )
            parts.append(f"{what} scaled to the label's")
        sign = "<" if self.strict else "<="
        parts.append(
            f"PCK (error {sign} t) at {len(t)} t from {t[0]:.4g} to {t[-1]:.4g} {self.unit}, {self.rule} rule, mean over joints"
        )
        return ", ".join(parts)

    def errors(self, predicted, labelled, weight, size=None) -> np.ndarray:
        """Errors [N, J] in `unit`, NaN where a joint does not count.

        Args:
          predicted, labelled: [N, 21, dimensions].
          weight: [N, 21], 0 where a joint is not labelled (or hidden, with visible_only).
          size: [N], what errors are divided by, with `per`.
        """
        joints = list(self.joints)
        weight = weight[:, joints] > 0
        mask = weight[..., np.newaxis]
        found = predicted
        if self.scale == CENTROID:
            found = found * _spread(labelled[:, joints], mask) / np.maximum(_spread(found[:, joints], mask), 1e-12)
        elif self.scale is not None:
            found = found * _length(labelled, self.scale) / np.maximum(_length(found, self.scale), 1e-12)
        truth = labelled
        # Both are moved into their roots: the root itself then has an error of exactly 0, as in the tool kits.
        if self.root == CENTROID:
            found, truth = found - _centre(found[:, joints], mask), truth - _centre(truth[:, joints], mask)
        elif self.root is not None:
            found, truth = found - found[:, [self.root]], truth - truth[:, [self.root]]
        distance = np.linalg.norm(found[:, joints] - truth[:, joints], axis=-1) * (1000 if self.dimensions == 3 else 1)
        distance = distance / size[:, np.newaxis] if self.per else distance
        return np.where(weight & (weight.sum(axis=1, keepdims=True) >= self.least), distance, np.nan)

    def figures(self, errors: np.ndarray) -> dict[str, float | list[float]]:
        """Mean and median error over joints, area under the curve, and the curve, of errors [N, J].

        Means and medians are taken for each joint first, then over joints, as the tool kits do.
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


def area(curve: np.ndarray, thresholds: np.ndarray, rule: str = "trapezoid") -> float:
    """Area under a PCK curve, as a share of the range."""
    if rule == "mean":
        return float(np.mean(curve))
    heights = (curve[1:] + curve[:-1]) / 2
    return float((heights * np.diff(thresholds)).sum() / (thresholds[-1] - thresholds[0]))


_WRIST, _MIDDLE, _MIDDLE_BONE, _PALM_BONE = 0, 9, (9, 10), (0, 9)
_TIPS = tuple(int(tip) for tip in TIPS)

POINT_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        PointProtocol("zimmermann", 3, "Zimmermann and Brox 2017, RHD and STB", 0, 50, 20, first=8, root=_WRIST, scale=_MIDDLE_BONE, visible_only=True),
        PointProtocol("zimmermann_0_50", 3, "Zimmermann and Brox 2017, RHD and STB", 0, 50, 20, root=_WRIST, scale=_MIDDLE_BONE, visible_only=True),
        PointProtocol("ge", 3, "Ge et al. 2019, RHD and STB", 20, 50, 20, root=_WRIST, scale=_MIDDLE_BONE),
        PointProtocol("bihand", 3, "BiHand 2020, RHD and STB", 20, 50, 20, root=_WRIST, scale=_PALM_BONE),
        PointProtocol("zhou", 3, "Zhou et al. 2020 and Minimal-Hand-pytorch, RHD and STB", 20, 50, 15, root=_MIDDLE, scale=_PALM_BONE),
        PointProtocol("mobrecon", 3, "MobRecon 2022", 20, 50, 20, root=_WRIST),
        PointProtocol("dexter_20_50", 3, "Minimal-Hand-pytorch, Dexter+Object", 20, 50, 15, root=CENTROID, scale=CENTROID, joints=_TIPS, least=2),
        PointProtocol("dexter_0_100", 3, "Mueller et al. 2018, Dexter+Object (its alignment is vague: this is ours)", 0, 100, 100, root=CENTROID, scale=CENTROID, joints=_TIPS, least=2),
        PointProtocol("pixels_0_30", 2, "hand3d, MobRecon, Boukhayma et al. 2019 (CMU); for HIU-Data our inference, in a crop of 256", 0, 30, 20),
        PointProtocol("mmpose", 2, "mmpose", 0, 28.5, 20, strict=True, rule="mean"),
        PointProtocol("pckh", 2, "Simon et al. 2017, CMU", 0, 1, 21, per="head"),
        PointProtocol("nsrm", 2, "NSRM 2020, CMU", 0.04, 0.12, 5, per="box", strict=True),
    )
}  # fmt: skip


def read_points(path: str | Path, dimensions: int) -> dict[str, np.ndarray]:
    """Arrays of an .npz: joints [N, 21, dimensions], and where they are there weight [N, 21] and size [N].

    Raises:
      UserError: the file cannot be read or an array has another shape.
    """
    try:
        with np.load(path) as arrays:
            found = {
                name: np.asarray(arrays[name], np.float64) for name in ("joints", "weight", "size") if name in arrays
            }
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no .npz file: {error}") from error
    if "joints" not in found:
        raise UserError(f"{path} holds no array joints [samples, {NUM_JOINTS}, {dimensions}]")
    samples = len(found["joints"])
    wanted = {"joints": (samples, NUM_JOINTS, dimensions), "weight": (samples, NUM_JOINTS), "size": (samples,)}
    for name, array in found.items():
        if array.shape != wanted[name]:
            raise UserError(f"{path}: {name} has shape {array.shape}, expected {wanted[name]}")
    return {"weight": np.ones(wanted["weight"])} | found


def measure(protocol: PointProtocol, predicted: dict, labelled: dict) -> dict:
    """Figures of `read_points` files by one protocol, with its words."""
    if len(predicted["joints"]) != len(labelled["joints"]):
        raise UserError(f"{len(predicted['joints'])} predictions for {len(labelled['joints'])} labelled samples")
    if protocol.per and "size" not in labelled:
        raise UserError(
            f"the protocol {protocol.name} divides by {protocol.unit[3:]}: the labels need an array size [samples]"
        )
    counted = labelled["weight"][:, list(protocol.joints)] > 0
    if not np.isfinite(predicted["joints"][:, list(protocol.joints)][counted]).all():
        raise UserError("the predictions hold values that are not finite")
    errors = protocol.errors(predicted["joints"], labelled["joints"], labelled["weight"], labelled.get("size"))
    return {"protocol": protocol.name, "words": protocol.words, "unit": protocol.unit, **protocol.figures(errors)}


def _centre(points, mask):
    return (points * mask).sum(axis=1, keepdims=True) / np.maximum(mask.sum(axis=1, keepdims=True), 1)


def _spread(points, mask):
    distance = np.linalg.norm((points - _centre(points, mask)) * mask, axis=-1, keepdims=True)
    return distance.sum(axis=1, keepdims=True) / np.maximum(mask.sum(axis=1, keepdims=True), 1)


def _length(points, bone):
    return np.linalg.norm(points[:, bone[1]] - points[:, bone[0]], axis=-1)[:, np.newaxis, np.newaxis]
