"""Hands with 2D and 3D joints -> hands with a mesh, by fitting the hand model to each (hiu_tf/fit)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from hiu_tf.fit.chain import Hands
from hiu_tf.fit.evidence import Deviations, Evidence, Residuals, directions_of
from hiu_tf.fit.outline import outlines_of
from hiu_tf.fit.skin import Skin
from hiu_tf.fit.solve import fit, refine
from hiu_tf.geometry.camera import project
from hiu_tf.geometry.mesh import covered
from hiu_tf.hand.model import HandModel
from pipelines.schema import LEFT, UNKNOWN, Sample
from pipelines.store import encode_mask

#: A fit is kept if the mean distance of its projected joints from their labels is below this share of the box side ...
MOST_2D_ERROR = 0.03
#: ... and the mean angle between its bones and those of the 3D labels is below this (degrees).
MOST_ANGLE_DEG = 20.0
#: Steps of a fit that go on with the masks.
_OUTLINE_STEPS = 10
#: Expected deviations of measured labels.
_MEASURED = Deviations(joints_2d=0.006, directions=0.1, joints_3d=0.004)


@dataclass(frozen=True)
class Fit:
    """The result of fitting one sample.

    Attributes:
      sample: with mesh, parameters and fitted 3D joints if the fit is kept, else unchanged. A sample without a mask
        gets the silhouette of the mesh, which ignores objects in front of the hand.
      error_2d: mean distance of projected joints to their labels, share of the box's longer side.
      angle_deg: mean angle between fitted and labelled bones in 3D.
      mask_iou: IoU of the mesh's silhouette and the sample's mask; NaN without one.
      refused: reason why there is no mesh; empty if there is one.
    """

    sample: Sample
    error_2d: float = np.nan
    angle_deg: float = np.nan
    mask_iou: float = np.nan
    refused: str = ""


def fit_samples(samples: Sequence[Sample], hand: HandModel, measured: bool = False) -> list[Fit]:
    """Fits a right hand model to samples; for left hands to their mirror image.

    Args:
      samples: samples with any labels; those without 2D joints, 3D joints or a side are refused.
      hand: a right hand.
      measured: whether 3D labels are measured, so that lengths are used too. Otherwise only directions of bones are.
    """
    fits = [Fit(sample, refused=_lacking(sample)) for sample in samples]
    rows = [row for row, fit in enumerate(fits) if not fit.refused]
    if not rows:
        return fits
    evidence = _evidence([samples[row] for row in rows], measured)
    residuals = Residuals(hand, _MEASURED if measured else Deviations())
    hands, _ = fit(residuals, evidence)
    if any(samples[row].mask for row in rows):
        evidence = replace(evidence, outlines=_outlines([samples[row] for row in rows], evidence.joints_2d))
        hands, _ = refine(residuals, evidence, hands, _OUTLINE_STEPS)
    joints, meshes = residuals.chain.joints(hands), Skin(hand)(hands)
    for n, row in enumerate(rows):
        fits[row] = _judged(samples[row], evidence.part([n]), hands.part([n]), joints[n], meshes[n], hand.closed_faces)
    return fits


def _lacking(sample):
    if sample.side == UNKNOWN:
        return "side is unknown"
    if not sample.joints_2d_weight.all():
        return "a 2D joint is not labelled"
    return "" if sample.joints_3d_weight.all() else "a 3D joint is not labelled"


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


def _judged(sample, evidence, hands: Hands, joints, vertices, faces):
    """Decides whether one fit is kept. Returns it in the sample's own camera frame."""
    drawn = project(joints, evidence.intrinsics[0])
    error = float(np.linalg.norm(drawn - evidence.joints_2d[0], axis=1).mean() / max(evidence.box[0], 1e-6))
    cosines = (directions_of(joints[np.newaxis]) * evidence.directions).sum(axis=-1)
    angle = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean())
    if not error <= MOST_2D_ERROR:
        return Fit(sample, error, angle, refused=f"projected joints are {error:.3f} of the box from their labels")
    if not angle <= MOST_ANGLE_DEG:
        return Fit(sample, error, angle, refused=f"bones are {angle:.0f} degrees from their labels")
    flip = np.diag([-1.0 if sample.side == LEFT else 1.0, 1.0, 1.0])
    fitted = replace(
        sample,
        joints_3d=joints @ flip,
        vertices=vertices @ flip,
        shape=hands.shape[0],
        pose=hands.pose[0],
        rotation=flip @ hands.rotation[0],
    )
    mesh = covered(project(fitted.vertices, sample.intrinsics), faces, sample.height, sample.width)
    if not sample.mask:
        return Fit(replace(fitted, mask=encode_mask(mesh)).validate(), error, angle)
    on_hand = _mask_of(sample)
    return Fit(fitted.validate(), error, angle, float((mesh & on_hand).sum() / (mesh | on_hand).sum()))


def _mask_of(sample):
    """The mask [height, width], bool."""
    return cv2.imdecode(np.frombuffer(sample.mask, np.uint8), cv2.IMREAD_GRAYSCALE) > 127
