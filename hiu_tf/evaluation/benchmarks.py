"""Published protocols for key points, and the evaluation of other people's predictions by them.

Each protocol names its source; see docs/evaluation.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hiu_tf.conventions.skeleton import NUM_JOINTS, TIPS
from hiu_tf.errors import UserError
from hiu_tf.metrics.protocols import CENTROID, PIXELS_0_30, PointProtocol

_WRIST, _MIDDLE, _MIDDLE_BONE, _PALM_BONE = 0, 9, (9, 10), (0, 9)
_TIPS = tuple(int(tip) for tip in TIPS)
#: No joint is farther, in pixels or millimetres.
_LARGEST = 1e6
_ARRAYS = ("joints", "weight", "visible", "size")

POINT_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        PointProtocol("zimmermann", 3, "Zimmermann and Brox 2017, RHD and STB", 0, 50, 20, first=8, root=_WRIST, scale=_MIDDLE_BONE, visible_only=True, data="RHD evaluation (the hand with more pixels) and STB B1, side given; its numbers are from whole pictures, with the palm's centre for a wrist"),
        PointProtocol("zimmermann_0_50", 3, "Zimmermann and Brox 2017, RHD and STB", 0, 50, 20, root=_WRIST, scale=_MIDDLE_BONE, visible_only=True, data="RHD evaluation (the hand with more pixels) and STB B1, side given; its numbers are from whole pictures, with the palm's centre for a wrist"),
        PointProtocol("ge", 3, "Ge et al. 2019, RHD and STB", 20, 50, 20, root=_WRIST, scale=_MIDDLE_BONE, data="RHD evaluation and STB B1, side given, ground-truth box"),
        PointProtocol("bihand", 3, "BiHand 2020, RHD and STB", 20, 50, 20, root=_MIDDLE, scale=_PALM_BONE, data="RHD evaluation and STB B1"),
        PointProtocol("zhou", 3, "Zhou et al. 2020 and Minimal-Hand-pytorch, RHD and STB", 20, 50, 15, root=_MIDDLE, scale=_PALM_BONE, data="RHD evaluation and STB B1"),
        PointProtocol("mobrecon", 3, "MobRecon 2022", 20, 50, 20, root=_WRIST),
        PointProtocol("dexter_20_50", 3, "Minimal-Hand-pytorch, Dexter+Object", 20, 50, 15, root=CENTROID, scale=CENTROID, joints=_TIPS, least=2, data="all six sequences, left hands"),
        PointProtocol("dexter_0_100", 3, "Mueller et al. 2018, Dexter+Object (its alignment is vague: this is ours)", 0, 100, 100, root=CENTROID, scale=CENTROID, joints=_TIPS, least=2, data="all six sequences, left hands"),
        PIXELS_0_30,
        PointProtocol("mmpose", 2, "mmpose", 0, 28.5, 20, strict=True, rule="mean"),
        PointProtocol("pckh", 2, "Simon et al. 2017, CMU", 0, 1, 21, per="head", data="manual_test of MPII and NZSL"),
        PointProtocol("nsrm", 2, "NSRM 2020, CMU", 0.04, 0.12, 5, per="box", strict=True),
    )
}  # fmt: skip


def read_points(path: str | Path, dimensions: int) -> dict[str, np.ndarray]:
    """Reads an .npz: joints [N, 21, dimensions]; optional weight and visible [N, 21], size [N]. Default weight: 1.

    Raises:
      UserError: the file cannot be read or an array has another shape.
    """
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            found = {name: np.asarray(arrays[name], np.float64) for name in _ARRAYS if name in arrays}
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds of exceptions on damaged files
        raise UserError(f"{path} is no .npz file: {error}") from error
    if "joints" not in found:
        raise UserError(f"{path} holds no array joints [samples, {NUM_JOINTS}, {dimensions}]")
    samples = len(np.atleast_1d(found["joints"]))
    wanted = {"joints": (samples, NUM_JOINTS, dimensions), "size": (samples,)}
    wanted |= {name: (samples, NUM_JOINTS) for name in ("weight", "visible")}
    for name, array in found.items():
        if array.shape != wanted[name]:
            raise UserError(f"{path}: {name} has shape {array.shape}, expected {wanted[name]}")
    return {"weight": np.ones(wanted["weight"])} | found


def measure(protocol: PointProtocol, predicted: dict, labelled: dict) -> dict:
    """Metrics of predictions against labels (both from `read_points`) by one protocol, with its description."""
    if len(predicted["joints"]) != len(labelled["joints"]):
        raise UserError(f"{len(predicted['joints'])} predictions for {len(labelled['joints'])} labelled samples")
    if not len(labelled["joints"]):
        raise UserError("there is no labelled sample to measure")
    if protocol.per and "size" not in labelled:
        raise UserError(
            f"the protocol {protocol.name} divides by {protocol.unit[3:]}: the labels need an array size [samples]"
        )
    for name, values in labelled.items():
        if name != "joints" and not (np.isfinite(values).all() and (values >= 0).all()):
            raise UserError(f"the labels' {name} holds values that are not finite or below 0")
    known = labelled["joints"][labelled["weight"] > 0]
    if not (np.abs(known) < _LARGEST).all():
        raise UserError("the labels hold joints that are not finite, or far too large: wrong units?")
    counted = labelled["weight"][:, list(protocol.joints)] > 0
    if not np.isfinite(predicted["joints"][:, list(protocol.joints)][counted]).all():
        raise UserError("the predictions hold values that are not finite")
    others = labelled.get("size"), labelled.get("visible")
    errors = protocol.errors(predicted["joints"], labelled["joints"], labelled["weight"], *others)
    return {"protocol": protocol.name, "words": protocol.words, "unit": protocol.unit, **protocol.metrics(errors)}
