"""Paired bootstrap: whether one model is better than another beyond sampling noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hiu_tf.evaluation.evaluate import Measured
from hiu_tf.evaluation.metrics import METRICS
from hiu_tf.tables import markdown_table

_DRAWS, _LEVEL, _SEED = 2000, 0.95, 0
_FEWEST = 10  # labelled samples; bootstraps of fewer do not show the metric's variation


class Difference(NamedTuple):
    """B minus A of one metric, with the interval that holds 95% of the differences of resampled sets.

    Both models are evaluated on the same resampled sets, so that the difficulty of the samples cancels.
    """

    a: float
    b: float
    difference: float
    low: float
    high: float
    samples: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0 and enough samples are labelled for it to be meaningful."""
        return self.samples >= _FEWEST and (self.low > 0 or self.high < 0)


def compare(a: Measured, b: Measured, metrics=METRICS, draws: int = _DRAWS) -> dict[str, Difference]:
    """{metric: difference} of two predictors measured on the same samples."""
    rng = np.random.default_rng(_SEED)
    samples = len(a.joints_2d)
    counts = rng.multinomial(samples, np.full(samples, 1 / samples), size=draws).astype(np.float64)
    found = {}
    for metric in metrics:
        if metric.name in a.errors and metric.name in b.errors:
            both = [metric.contributions(part.errors[metric.name]) for part in (a, b)]
            drawn = [_resampled(values, counts) for values in both]
            low, high = np.nanquantile(drawn[1] - drawn[0], [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
            one, two = (metric.value(part.errors[metric.name]) for part in (a, b))
            labelled = int((~np.isnan(both[0])).any(axis=1).sum())
            found[metric.name] = Difference(one, two, two - one, float(low), float(high), labelled)
    return found


def comparison_table(differences: dict[str, Difference], a: str, b: str) -> str:
    """Formats as Markdown. An asterisk marks intervals that exclude 0 (never with fewer than 10 labelled samples)."""
    rows = []
    for name, d in differences.items():
        digits = 3 if max(abs(d.a), abs(d.b)) < 10 else 1
        show = lambda value, digits=digits: f"{value:.{digits}f}"
        mark = " *" if d.is_clear else ""
        interval = f"{d.difference:+.{digits}f} ({d.low:+.{digits}f} to {d.high:+.{digits}f}){mark}"
        rows.append([name, d.samples, show(d.a), show(d.b), interval])
    return markdown_table(["metric", "samples", a, b, "difference (95% interval)"], rows)


def _resampled(values, counts):
    """The metric of every resampled set [draws]: mean over columns of the weighted mean over samples."""
    there = ~np.isnan(values)
    sums, seen = counts @ np.where(there, values, 0.0), counts @ there
    with np.errstate(invalid="ignore"):
        return np.nanmean(np.where(seen > 0, sums / np.maximum(seen, 1), np.nan), axis=1)
