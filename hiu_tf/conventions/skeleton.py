"""The hand skeleton: 21 key points, 20 bones, and the key point orders of other data sets.

Key point order (supplement, Metric 1): the wrist, then thumb, index, middle, ring, little, each
from the palm to the tip. Every array of key points in this project has this order.
"""

from enum import IntEnum

import numpy as np

from hiu_tf.errors import UserError

FINGERS = ("thumb", "index", "middle", "ring", "little")
JOINT_NAMES = ("wrist",) + tuple(f"{finger}{k}" for finger in FINGERS for k in range(1, 5))
NUM_JOINTS = len(JOINT_NAMES)

Joint = IntEnum("Joint", {name.upper(): i for i, name in enumerate(JOINT_NAMES)})

#: Parent of each key point; the wrist has none (-1).
PARENTS = np.array([-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19], np.int32)
#: The 20 bones as (parent, child) rows; bone b ends in key point b + 1.
BONES = np.stack([PARENTS[1:], np.arange(1, NUM_JOINTS)], axis=1).astype(np.int32)
NUM_BONES = len(BONES)
TIPS = np.array([Joint.THUMB4, Joint.INDEX4, Joint.MIDDLE4, Joint.RING4, Joint.LITTLE4], np.int32)

#: Joints of a MANO-type hand model, in its own order, and their parents.
MODEL_JOINT_NAMES = ("wrist",) + tuple(
    f"{finger}{k}" for finger in ("index", "middle", "little", "ring", "thumb") for k in range(1, 4)
)
MODEL_PARENTS = np.array([-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14], np.int32)
NUM_MODEL_JOINTS = len(MODEL_JOINT_NAMES)

#: keypoints = concat(16 model joints, 5 tips in FINGERS order)[MODEL_TO_KEYPOINTS]
MODEL_TO_KEYPOINTS = np.array(
    [(MODEL_JOINT_NAMES + tuple(f"{finger}4" for finger in FINGERS)).index(name) for name in JOINT_NAMES],
    np.int32,
)

#: Fingertip vertices (thumb, index, middle, ring, little) on the 778-vertex MANO topology. Sources
#: differ by 2-5 mm: use the one that the labels were made with.
MANO_TIP_VERTICES = {
    "freihand": {side: (744, 320, 443, 555, 672) for side in ("right", "left")},
    "smplx": {side: (744, 320, 443, 554, 671) for side in ("right", "left")},
    "manopth": {"right": (745, 317, 444, 556, 673), "left": (745, 317, 445, 556, 673)},
    "minimal_hand": {side: (744, 333, 444, 555, 672) for side in ("right", "left")},
    "hamr": {side: (734, 333, 443, 555, 678) for side in ("right", "left")},
}

#: Orders of the 21 points in other data sets: "standard[i] = theirs[ORDERS[name][i]]".
ORDERS = {
    "standard": tuple(range(NUM_JOINTS)),
    "freihand": tuple(range(NUM_JOINTS)),
    "mediapipe": tuple(range(NUM_JOINTS)),
    "coco": tuple(range(NUM_JOINTS)),
    "rhd": (0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17),  # each finger from its tip
    # STB goes from the little finger to the thumb; its point 0 is the palm's centre.
    "stb": (0, 17, 18, 19, 20, 13, 14, 15, 16, 9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4),
    "interhand": (20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16),  # tips first, wrist last
    "mano": tuple(int(i) for i in MODEL_TO_KEYPOINTS),  # 16 joints, then the tips of FINGERS
}


def reorder(points, source: str, target: str = "standard"):
    """Converts key points [..., 21, C] from one order to another; names are those of `ORDERS`.

    Raises:
      UserError: unknown name, or not 21 points.
    """
    unknown = sorted({source, target} - set(ORDERS))
    if unknown:
        raise UserError(f"unknown order {unknown[0]!r}; known are {', '.join(ORDERS)}")
    points = np.asarray(points)
    if points.ndim < 2 or points.shape[-2] != NUM_JOINTS:
        raise UserError(f"points must be [..., {NUM_JOINTS}, C], got shape {points.shape}")
    back = np.argsort(ORDERS[target])
    return points[..., np.array(ORDERS[source])[back], :]
