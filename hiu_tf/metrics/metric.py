"""One metric of a table: which prediction is compared with which label, by which protocol.

Each error contributes a number to its metric (`Metric.contributions`). The metric is the mean of these over samples,
then over columns (joints, vertices). Per-sample tables, breakdowns and bootstraps average the same contributions.
2D metrics are in pixels of a crop of 256: crops of another size are scaled to it first.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.metrics.protocols import MaskProtocol, PointProtocol

_CROP = 256


@dataclass(frozen=True)
class Metric:
    """One row of the table of metrics.

    Attributes:
      name: of the metric.
      protocol: how predictions are compared with labels.
      of: key of the prediction.
      label, needs: keys of the label and of its weight.
      statistic: "auc"; "mean" of the errors (or of the masks' quality); or "sample mean": mean of the samples' means.
    """

    name: str
    protocol: PointProtocol | MaskProtocol
    of: str
    label: str
    needs: str
    statistic: str = "mean"

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher value is better."""
        return self.statistic == "auc" or isinstance(self.protocol, MaskProtocol)

    @property
    def unit(self) -> str:
        """Unit of the metric's value."""
        return "0..1" if self.higher_is_better else self.protocol.unit

    @property
    def words(self) -> str:
        """Describes the metric and its protocol in a sentence."""
        source = {keys.JOINTS_2D_PROJECTED: "projected from 3D: ", keys.RENDERED_MASK: "rendered from the mesh: "}
        if isinstance(self.protocol, MaskProtocol):
            what = self.protocol.words
        elif self.statistic == "auc":
            what = f"area under the curve; {self.protocol.words}"
        else:
            what = f"mean {'over samples of their mean ' if self.statistic == 'sample mean' else ''}error; {self.protocol.how}"
        return source.get(self.of, "") + what

    def errors(self, predicted: dict, labels: dict, size: int) -> np.ndarray:
        """Errors (or a mask's quality) [B, columns] in the protocol's unit, NaN where there is no label."""
        weight = labels[self.needs]
        if isinstance(self.protocol, MaskProtocol):
            known = labels[keys.IN_PICTURE][..., 0] > 0 if keys.IN_PICTURE in labels else None
            quality = self.protocol.measure(predicted[self.of], labels[self.label], known)
            return np.where(weight[:, np.newaxis] > 0, quality, np.nan)
        found, truth = predicted[self.of], labels[self.label]
        if self.protocol.joints is None:  # meshes are compared relative to their wrists
            found, truth = (
                np.concatenate([part[keys.JOINTS_3D][:, :1], points], axis=1)
                for part, points in ((predicted, found), (labels, truth))
            )
            weight = np.repeat(weight[:, np.newaxis], truth.shape[1], axis=1)
            if self.protocol.root is not None:
                weight[:, 0] *= labels[keys.JOINTS_3D_WEIGHT][:, 0]
        box = _box_side(truth, weight) if self.protocol.per == "box" else None
        scale = _CROP / size if self.protocol.dimensions == 2 and not self.protocol.per else 1.0
        visible = labels[keys.VISIBLE] if self.protocol.visible_only else None
        return self.protocol.errors(scale * found, scale * truth, weight, box, visible)

    def contributions(self, errors: np.ndarray) -> np.ndarray:
        """Contribution of each error to the metric, [B, columns]."""
        if self.statistic == "auc":
            return self.protocol.areas(errors)
        return mean(errors, axis=1)[:, np.newaxis] if self.statistic == "sample mean" else errors

    def value(self, errors: np.ndarray) -> float:
        """Value of the metric over all errors; NaN without any."""
        return float(mean(mean(self.contributions(errors), axis=0)))


def mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Mean without NaN entries; NaN if there are no others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=axis)


def _box_side(points, weight):
    """Longer side of the box of the labelled joints, [B]; 0 for a single joint, NaN for none."""
    labelled = np.where(weight[..., np.newaxis] > 0, points, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return (np.nanmax(labelled, axis=1) - np.nanmin(labelled, axis=1)).max(axis=1)
