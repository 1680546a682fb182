"""The anatomy of the procedural right hand, as data.

Hand frame (as in MANO, so that theta transfers): wrist at the origin, fingers along -x, palm facing -y,
thumb towards +z. This file uses millimetres, as its sources do; the builder converts everything to metres.

Bone lengths are adult means: A. Buryanov and V. Kotiuk, "Proportions of Hand Segments",
Int. J. Morphol. 28(3), 2010 (X-ray, 66 adults). The length of the carpus, the breadths and the
directions are our own choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hiu_tf.conventions.skeleton import MODEL_JOINT_NAMES


@dataclass(frozen=True)
class Finger:
    """One finger at rest: where it starts, where it points, how long and thick it is (mm)."""

    base: tuple[float, float, float]  # first joint (MCP; thumb: CMC)
    direction: tuple[float, float, float]  # of the straight finger
    lengths: tuple[float, float, float]  # first joint -> second -> third -> tip of the bone
    radii: tuple[float, float, float, float]  # at the three joints and the tip
    bend_deg: tuple[float, float]  # flexion at rest of the second and third joint
    flexion_axis: tuple[float, float, float]  # positive rotation bends towards the palm


FINGERS_MM = {
    "index": Finger((-88, 1, 23), (-1, -0.05, 0.13), (39.8, 22.4, 17.5), (10.6, 9.0, 7.9, 6.6), (4, 3), (0.13, 0, 1)),
    "middle": Finger((-92, 3, 1), (-1, -0.05, 0.0), (44.6, 26.3, 19.0), (10.8, 9.2, 8.0, 6.7), (4, 3), (0, 0, 1)),
    "little": Finger(
        (-77, -3, -38), (-1, -0.08, -0.27), (32.7, 18.1, 17.0), (9.2, 7.5, 6.6, 5.6), (4, 3), (-0.27, 0, 1)
    ),
    "ring": Finger((-86, 1, -19), (-1, -0.06, -0.12), (41.4, 25.7, 19.0), (10.2, 8.6, 7.5, 6.3), (4, 3), (-0.12, 0, 1)),
    "thumb": Finger(
        (-21, -9, 24), (-0.70, -0.22, 0.68), (46.2, 31.6, 24.0), (14.5, 12.0, 10.2, 7.6), (6, 6), (0.42, -0.74, 0.19)
    ),
}

#: Rotation from the hand frame to a camera frame (x right, y down, z forward): fingers up, palm to the viewer.
UPRIGHT = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
#: Base colour, RGB in [0, 1]: pictures and mesh files multiply it by the model's relative colours.
SKIN_COLOR = np.array([0.87, 0.66, 0.54])

#: Tapered capsules of the palm: start, end, radius at start, radius at end (mm).
PALM_CAPSULES = (
    ((-8, 0, 12), (-84, -1, 22), 15.5, 12.5),  # second metacarpal
    ((-8, 1, 3), (-88, 1, 1), 16.0, 13.0),  # third
    ((-8, 0, -7), (-82, -1, -18), 15.5, 12.5),  # fourth
    ((-8, -1, -13), (-74, -4, -36), 14.5, 11.5),  # fifth
    ((-22, -8, -20), (-58, -9, -35), 12.5, 11.0),  # hypothenar mass
    ((-20, -10, 22), (-50, -13, 36), 12.0, 11.0),  # thenar mass
    ((-40, -5, 30), (-66, -4, 34), 8.5, 7.5),  # web of the thumb
)
#: The wrist stub: an elliptic tapered tube, closed by a cap at WRIST_CUT_MM.
WRIST_CAPSULE = ((-6, 0, 0), (40, 2, 0), 24.0, 24.5)
WRIST_FLATTENING = 1.32  # y is divided by this inside the wrist's distance
WRIST_CUT_MM = 26.0

#: Limits in degrees per joint: flexion, abduction (about the back-palm axis), twist.
LIMITS_DEG = {
    "finger": (((-15, 85), (-14, 14), (-4, 4)), ((0, 100), (0, 0), (0, 0)), ((-4, 70), (0, 0), (0, 0))),
    "thumb": (((-15, 48), (-22, 25), (-12, 20)), ((-8, 56), (-6, 6), (-4, 4)), ((-10, 75), (0, 0), (0, 0))),
}


@dataclass(frozen=True)
class ShapeDirection:
    """One shape direction: relative change of each part at one standard deviation.

    `palm` scales (length x, thickness y, breadth z); `fingers` gives (length, thickness) per
    finger; `taper` thins each bone towards the tip.
    """

    name: str
    palm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fingers: dict[str, tuple[float, float]] | None = None
    taper: float = 0.0


def _all(length: float, thickness: float) -> dict[str, tuple[float, float]]:
    return {name: (length, thickness) for name in FINGERS_MM}


# Palm length has no direction of its own: it follows from size, fingers, breadth and thickness.
SHAPE_DIRECTIONS = (
    ShapeDirection("size", (0.055, 0.055, 0.055), _all(0.055, 0.055)),
    ShapeDirection("finger length", (-0.01, 0, 0), _all(0.05, 0)),
    ShapeDirection("finger thickness", (0, 0.02, 0.01), _all(0, 0.08)),
    ShapeDirection("palm breadth", (0, 0, 0.06)),
    ShapeDirection(
        "thick thumb side", fingers={"thumb": (0, 0.06), "index": (0, 0.05), "ring": (0, -0.05), "little": (0, -0.06)}
    ),
    ShapeDirection("palm thickness", (0, 0.08, 0)),
    ShapeDirection("thumb", fingers={"thumb": (0.06, 0.04)}),
    ShapeDirection("ulnar fingers", fingers={"ring": (0.035, 0.02), "little": (0.06, 0.03)}),
    ShapeDirection("index against ring", fingers={"index": (0.035, 0), "ring": (-0.035, 0)}),
    ShapeDirection("taper", taper=0.07, fingers=_all(0, 0.02)),
)


def finger_joints_mm(name: str) -> np.ndarray:
    """Rest positions of one finger's three joints and the end of its bone, [4, 3] mm."""
    finger = FINGERS_MM[name]
    direction = _unit(finger.direction)
    axis = _unit(finger.flexion_axis)
    axis = _unit(axis - direction * (axis @ direction))
    points = [np.asarray(finger.base, float)]
    angle = 0.0
    for length, bend in zip(finger.lengths, (0.0, *finger.bend_deg)):
        angle += np.deg2rad(bend)
        step = direction * np.cos(angle) + np.cross(axis, direction) * np.sin(angle)
        points.append(points[-1] + length * step)
    return np.array(points)


def joint_axes(name: str) -> np.ndarray:
    """Unit axes of one finger, rows (flexion, abduction, twist) [3, 3], hand frame."""
    finger = FINGERS_MM[name]
    twist = _unit(finger.direction)
    flexion = _unit(finger.flexion_axis)
    flexion = _unit(flexion - twist * (flexion @ twist))
    return np.stack([flexion, np.cross(twist, flexion), twist])


def pose_rows(name: str) -> slice:
    """Rows of theta [15, 3] of one finger's joints, from the palm to the tip."""
    first = MODEL_JOINT_NAMES.index(f"{name}1") - 1
    return slice(first, first + 3)


def _unit(vector) -> np.ndarray:
    vector = np.asarray(vector, float)
    return vector / np.linalg.norm(vector)
