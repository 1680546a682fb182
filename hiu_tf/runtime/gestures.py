"""Names the gesture of a hand by rules on its joints: which fingers are straight, and where thumb and index meet."""

from __future__ import annotations

import numpy as np

from hiu_tf.conventions.skeleton import Joint

#: Shares of a finger's length between its knuckle and its tip above which it is straight, and below which it is bent.
STRAIGHT, BENT = 0.92, 0.78
#: The thumb is out if its tip is farther from the little finger's knuckle than this many palms (wrist to middle knuckle).
THUMB_OUT = 1.08
#: Thumb and index meet if their tips are nearer than this many palms. In a fist they can be as near; then the index
#: finger is shorter than the second number, a share of its length.
MEET, NOT_A_FIST = 0.4, 0.7
#: Rules for thumb, index, middle, ring and little finger, and the gesture: s straight (a thumb: out), n not straight,
#: b bent. "thumb" is completed by its direction.
GESTURES = (
    ("sssss", "open"),
    ("nssss", "four"),
    ("nsssn", "three"),
    ("sssnn", "three"),
    ("nssnn", "victory"),
    ("nsnnn", "point"),
    ("ssnnn", "gun"),
    ("nsnns", "horns"),
    ("ssnns", "love"),
    ("snnns", "call"),
    ("nnnns", "little finger"),
    ("nbbbb", "fist"),
    ("sbbbb", "thumb"),
)
_DIRECTIONS = ("up", "down", "sideways")
#: All names that `gesture` can return.
NAMES = {"ok", "pinch", *(f"thumb {way}" for way in _DIRECTIONS), *(name for _, name in GESTURES)} - {"thumb"}
_FINGERS = (Joint.INDEX1, Joint.MIDDLE1, Joint.RING1, Joint.LITTLE1)


def gesture(joints_3d: np.ndarray, joints_2d: np.ndarray) -> str | None:
    """Names the gesture of a hand.

    Args:
      joints_3d: [21, 3] in any unit, right or left hand.
      joints_2d: [21, 2] pixels of the upright picture, for the direction of a lone thumb.

    Returns:
      A name of `GESTURES`, "ok", "pinch", or "thumb up", "thumb down", "thumb sideways"; None for all others.
    """
    lengths = [_length(joints_3d[first : first + 4]) for first in _FINGERS]
    if pinch(joints_3d) < MEET and lengths[0] > NOT_A_FIST:
        return "ok" if min(lengths[1:]) > STRAIGHT else "pinch"
    states = [{"s"} if _thumb_is_out(joints_3d) else {"n", "b"}, *map(_states, lengths)]
    for rule, name in GESTURES:
        if all(wanted in state for wanted, state in zip(rule, states)):
            return f"thumb {_direction(joints_2d)}" if name == "thumb" else name
    return None


def pinch(joints_3d: np.ndarray) -> float:
    """Distance between the tips of thumb and index finger, in palms (wrist to middle knuckle)."""
    return _distance(joints_3d, Joint.THUMB4, Joint.INDEX4) / _palm(joints_3d)


def _length(finger):
    """Distance from a finger's knuckle to its tip, as a share of its length."""
    return np.linalg.norm(finger[3] - finger[0]) / max(np.linalg.norm(np.diff(finger, axis=0), axis=1).sum(), 1e-9)


def _states(length):
    """The letters of a rule that a finger satisfies."""
    return {"s"} if length > STRAIGHT else {"n", "b"} if length < BENT else {"n"}


def _thumb_is_out(joints):
    return _distance(joints, Joint.THUMB4, Joint.LITTLE1) > THUMB_OUT * _palm(joints)


def _direction(joints_2d):
    across, down = joints_2d[Joint.THUMB4] - joints_2d[Joint.THUMB2]
    if abs(down) <= abs(across):
        return _DIRECTIONS[2]
    return _DIRECTIONS[int(down > 0)]


def _palm(joints):
    return max(_distance(joints, Joint.WRIST, Joint.MIDDLE1), 1e-9)


def _distance(joints, first, second):
    return float(np.linalg.norm(joints[first] - joints[second]))
