"""Hands with 2D and 3D joints -> hands with a mesh, by fitting the hand model to each (hiu_tf/fit)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hiu_tf.fit.chain import Hands
from hiu_tf.fit.evidence import Deviations, Evidence, Residuals, directions_of
from hiu_tf.fit.outline import of_hand, outlines_of
from hiu_tf.fit.solve import fit, refine
from hiu_tf.geometry.camera import project
from hiu_tf.geometry.mesh import covered
from hiu_tf.hand.model import HandModel
from hiu_tf.pictures import decode_mask
from pipelines.schema import LEFT, UNKNOWN, Sample
from pipelines.store import encode_mask

#: A fit is kept if the mean distance of its projected joints from their labels is below this share of the box side ...
MOST_2D_ERROR = 0.03
#: ... and the mean angle between its bones and those of the 3D labels is below this (degrees).
MOST_ANGLE_DEG = 20.0
#: A predicted mask counts if its IoU with the mesh, beyond the wrist, is at least this.
LEAST_CONFIRMED = 0.8
#: Steps of a fit that go on with the masks.
_OUTLINE_STEPS = 10
#: Expected deviations of measured labels.
_MEASURED = Deviations(joints_2d=0.006, directions=0.1, joints_3d=0.004)


@dataclass(frozen=True)
class Fit:
    """The result of fitting one sample.

    Attributes:
      sample: with mesh, parameters and fitted 3D joints if the fit is kept, else unchanged. A sample without a mask
        gets one (`mask_from`).
      error_2d: mean distance of projected joints to their labels, share of the box's longer side.
      angle_deg: mean angle between fitted and labelled bones in 3D.
      mask_iou: IoU of the mesh's silhouette and the sample's mask, given or predicted; NaN without one.
      mask_from: where the sample's mask is from: "given"; "predicted" and confirmed by the mesh, which also says where the
        hand ends towards the arm; "mesh": its silhouette, which ignores objects in front of the hand; "": there is no mask, because
        the predicted one was not confirmed, or because there is no mesh.
      refused: reason why there is no mesh; empty if there is one.
    """

    sample: Sample
    error_2d: float = np.nan
    angle_deg: float = np.nan
    mask_iou: float = np.nan
    mask_from: str = ""
    refused: str = ""


def fit_samples(
    samples: Sequence[Sample], hand: HandModel, measured: bool = False, predicted: Sequence[bytes] | None = None
) -> list[Fit]:
    """Fits a right hand model to samples; for left hands to their mirror image.

    A sample with a mask is fitted to its joints first, then to the mask too. If the second fit is refused, or does not
    confirm a predicted mask, the first one counts, in the latter case without a mask.

    Args:
      samples: samples with any labels; those without 2D joints, 3D joints or a side are refused.
      hand: a right hand.
      measured: whether 3D labels are measured, so that lengths are used too. Otherwise only directions of bones are.
      predicted: for each sample an encoded mask that a network predicts, or b""; used where the sample has none.
    """
    fits = [Fit(sample, refused=lacking(sample)) for sample in samples]
    rows = [row for row, fit in enumerate(fits) if not fit.refused]
    if not rows:
        return fits
    known = [samples[row] for row in rows]
    evidence, residuals = _evidence(known, measured), Residuals(hand, _MEASURED if measured else Deviations())
    hands, _ = fit(residuals, evidence)
    for row, judged in zip(rows, _judged_all(known, evidence, residuals, hands, hand)):
        fits[row] = judged
    if predicted is not None:
        known = [replace(sample, mask=sample.mask or predicted[row]) for sample, row in zip(known, rows)]
    for n, second in _fits_to_masks(known, evidence, residuals, hands, hand):
        row = rows[n]
        fits[row] = _chosen(fits[row], second, bool(samples[row].mask), hand.closed_faces)
    return fits


def _fits_to_masks(samples, evidence, residuals, hands, hand):
    """(number, fit) of the samples that have a mask, of fits that go on from `hands` with the masks."""
    masked = [n for n, sample in enumerate(samples) if sample.mask]
    if not masked:
        return []
    known, evidence = [samples[n] for n in masked], evidence.part(masked)
    evidence = replace(evidence, outlines=_outlines(known, evidence.joints_2d))
    hands, _ = refine(residuals, evidence, hands.part(masked), _OUTLINE_STEPS)
    return zip(masked, _judged_all(known, evidence, residuals, hands, hand))


def _chosen(first, second, given, faces):
    """The fit to joints and mask, or that to the joints alone if both contradict each other: an object before the hand, another hand."""
    if given:
        return first if second.refused else second
    if first.refused:
        return first
    confirmed = None if second.refused else _confirmed(second, faces)
    return confirmed or replace(first, sample=replace(first.sample, mask=b""), mask_from="")


def lacking(sample: Sample) -> str:
    """Returns why a sample cannot be fitted, or ""."""
    if sample.side == UNKNOWN:
        return "side is unknown"
    if not sample.joints_2d_weight.all():
        return "a 2D joint is not labelled"
    if not sample.joints_3d_weight.all():
        return "a 3D joint is not labelled"
    if not all(np.isfinite(labels).all() for labels in (sample.joints_2d, sample.joints_3d, sample.intrinsics)):
        return "a label is not finite"
    if np.ptp(sample.joints_2d, axis=0).max() < 1.0:
        return "all 2D joints lie in one pixel"
    mask = _mask_of(sample) if sample.mask else None
    if sample.mask and mask is None:
        return "its mask cannot be decoded"
    return (
        "its mask has another size than the picture"
        if sample.mask and mask.shape != (sample.height, sample.width)
        else ""
    )


def _evidence(samples, measured):
    """Evidence for right hands; left hands are mirrored (x -> -x in the picture and in the camera frame)."""
    flips = np.array([-1.0 if sample.side == LEFT else 1.0 for sample in samples])
    joints_2d, joints_3d, cameras = (
        np.stack([getattr(sample, name) for sample in samples]).astype(float)
        for name in ("joints_2d", "joints_3d", "intrinsics")
    )
    joints_2d[..., 0] *= flips[:, np.newaxis]
    joints_3d[..., 0] *= flips[:, np.newaxis]
    cameras[:, 0, 2] *= flips
    count, ones = len(samples), np.ones
    return Evidence(
        joints_2d=joints_2d,
        joints_2d_weight=ones((count, 21)),
        intrinsics=cameras,
        box=np.ptp(joints_2d, axis=1).max(axis=1),
        directions=directions_of(joints_3d),
        directions_weight=ones((count, 20)),
        joints_3d=joints_3d,
        joints_3d_weight=np.full((count, 21), float(measured)),
    )


def _outlines(samples, joints_2d):
    """The masks of the samples that have one."""
    masks = [_mask_of(sample) if sample.mask else None for sample in samples]
    return outlines_of(masks, joints_2d, np.array([-1.0 if sample.side == LEFT else 1.0 for sample in samples]))


def _judged_all(samples, evidence, residuals, hands, hand):
    joints, meshes = residuals.chain.joints(hands), residuals.skin(hands)
    each = zip(samples, joints, meshes)
    return [
        _judged(sample, evidence.part([n]), hands.part([n]), *found, hand.closed_faces)
        for n, (sample, *found) in enumerate(each)
    ]


def _judged(sample, evidence, hands: Hands, joints, vertices, faces):
    """Decides whether one fit is kept. Returns it in the sample's own camera frame."""
    joints, vertices = joints.astype(np.float32), vertices.astype(np.float32)  # as they are stored
    drawn = project(joints, evidence.intrinsics[0])
    error = float(np.linalg.norm(drawn - evidence.joints_2d[0], axis=1).mean() / evidence.box[0])
    cosines = (directions_of(joints[np.newaxis]) * evidence.directions).sum(axis=-1)
    angle = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean())
    flip = np.diag([-1.0 if sample.side == LEFT else 1.0, 1.0, 1.0])
    mesh = covered(project(vertices @ flip, sample.intrinsics), faces, sample.height, sample.width)
    numbers = error, angle, _overlap(mesh, _mask_of(sample)) if sample.mask else np.nan
    if not error <= MOST_2D_ERROR:
        return Fit(sample, *numbers, refused=f"projected joints are {error:.3f} of the box from their labels")
    if not angle <= MOST_ANGLE_DEG:
        return Fit(sample, *numbers, refused=f"bones are {angle:.0f} degrees from their labels")
    fitted = replace(
        sample,
        joints_3d=joints @ flip,
        vertices=vertices @ flip,
        shape=hands.shape[0],
        pose=hands.pose[0],
        rotation=flip @ hands.rotation[0],
        mask=sample.mask or encode_mask(mesh),
    )
    return Fit(fitted.validate(), *numbers, mask_from="given" if sample.mask else "mesh")


def _confirmed(fit, faces):
    """The fit with the predicted mask that it was made with, ended by the mesh at the wrist; None if they do not agree.

    A predicted mask may contain the arm or not, and ends where the network's window does.
    """
    sample = fit.sample
    mask = _mask_of(sample)
    mesh = covered(project(sample.vertices, sample.intrinsics), faces, sample.height, sample.width)
    pixels = np.stack(np.meshgrid(np.arange(sample.width), np.arange(sample.height)), axis=-1)
    hand = of_hand(pixels, sample.joints_2d)
    if _overlap(mesh & hand, mask & hand) < LEAST_CONFIRMED:
        return None
    return replace(fit, sample=replace(sample, mask=encode_mask(np.where(hand, mask, mesh))), mask_from="predicted")


def _overlap(mask, other):
    """IoU of two masks, 0 if both are empty."""
    return float((mask & other).sum() / max((mask | other).sum(), 1))


def _mask_of(sample):
    """The mask [height, width], bool; None if it cannot be decoded."""
    mask = decode_mask(sample.mask)
    return None if mask is None else mask > 127
