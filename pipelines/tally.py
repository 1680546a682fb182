"""Counts and statistics of the samples of a data set."""

from __future__ import annotations

import numpy as np

from pipelines.schema import SIDES, Sample

_COUNTED = {
    "samples": lambda sample: True,
    "joints_2d": lambda sample: sample.joints_2d_weight.any(),
    "joints_3d": lambda sample: sample.joints_3d_weight.any(),
    "mask": lambda sample: bool(sample.mask),
    "no_hand": lambda sample: sample.no_hand,
    "mesh": lambda sample: len(sample.vertices) > 0,
    **{name: lambda sample, side=SIDES[name]: sample.side == side for name in ("right", "left", "unknown")},
}


def _box_side(sample):
    labelled = sample.joints_2d[sample.joints_2d_weight > 0]
    return [np.ptp(labelled, axis=0).max()] if len(labelled) else []


#: name -> function that returns values of one sample; the tally keeps their minimum, mean and maximum.
_MEASURED = {
    "picture_side_px": lambda sample: [max(sample.width, sample.height)],
    "box_side_px": _box_side,
    "depth_m": lambda sample: sample.joints_3d[sample.joints_3d_weight > 0, 2],
}


def tally(sample: Sample) -> dict:
    """Counts and statistics of one sample."""
    values = {name: np.asarray(measure(sample), float) for name, measure in _MEASURED.items()}
    return {
        "counts": {name: int(counts(sample)) for name, counts in _COUNTED.items()},
        "statistics": {
            name: {"min": float(v.min()), "mean": float(v.mean()), "max": float(v.max()), "values": len(v)}
            for name, v in values.items()
            if len(v)
        },
    }


def merge(tallies: list[dict]) -> dict:
    """Merges several tallies to one; without any, all counts are 0."""
    statistics = {}
    for name in _MEASURED:
        some = [t["statistics"][name] for t in tallies if name in t["statistics"]]
        if some:
            total = sum(s["values"] for s in some)
            statistics[name] = {
                "min": min(s["min"] for s in some),
                "mean": sum(s["mean"] * s["values"] for s in some) / total,
                "max": max(s["max"] for s in some),
                "values": total,
            }
    return {"counts": {n: sum(t["counts"][n] for t in tallies) for n in _COUNTED}, "statistics": statistics}
