"""Natural hand poses: a sampler within anatomical limits. NumPy only.

A pose is first described by a few intuitive numbers: how far each finger is curled (0 straight, 1 in the
fist), how far the fingers are spread, where the thumb is. Joint angles are computed from these, with
noise, and clipped to the limits of each joint.
"""

import numpy as np

from hiu_tf.hand import anatomy

#: Gesture -> curl of (index, middle, ring, little), thumb (opposition, bend), spread.
GESTURES = {
    "open": ((0.05, 0.05, 0.05, 0.08), (0.1, 0.1), 0.8),
    "flat": ((0.0, 0.0, 0.0, 0.0), (0.0, 0.0), 0.0),
    "relaxed": ((0.25, 0.3, 0.35, 0.4), (0.35, 0.2), 0.2),
    "fist": ((0.95, 0.97, 0.97, 0.95), (0.5, 0.9), 0.0),
    "point": ((0.05, 0.9, 0.95, 0.9), (0.5, 0.88), 0.0),
    "victory": ((0.03, 0.03, 0.92, 0.9), (0.5, 0.9), 1.0),
    "three": ((0.03, 0.03, 0.05, 0.9), (0.65, 0.9), 0.7),
    "four": ((0.03, 0.03, 0.04, 0.05), (0.5, 0.95), 0.6),
    "thumb up": ((0.93, 0.95, 0.95, 0.93), (-0.2, 0.0), 0.0),
    "pinch": ((0.5, 0.45, 0.35, 0.3), (0.4, 0.55), 0.2),
    "ok": ((0.55, 0.1, 0.1, 0.1), (0.4, 0.6), 0.7),
    "grasp": ((0.45, 0.5, 0.5, 0.5), (0.75, 0.2), 0.2),
    "horns": ((0.05, 0.92, 0.92, 0.05), (0.5, 0.9), 0.3),
    "call": ((0.9, 0.92, 0.9, 0.06), (-0.1, 0.0), 0.5),
    "hook": ((0.5, 0.55, 0.55, 0.5), (0.2, 0.3), 0.0),
    "gun": ((0.03, 0.1, 0.95, 0.92), (-0.1, 0.0), 0.0),
}
_CURLED = ("index", "middle", "ring", "little")
_SPREAD_DEG = {"index": -9.0, "middle": 0.0, "ring": 7.0, "little": 13.0}
_FULL_CURL_DEG = (82.0, 98.0, 62.0)


def sample_pose(rng: np.random.Generator) -> np.ndarray:
    """Draws a natural pose, axis-angle [15, 3] in the order of the model joints 1..15."""
    curls, (opposition, bend), spread = _sample_words(rng)
    axis_angle = np.zeros((15, 3))
    for name, curl in zip(_CURLED, curls):
        axis_angle[anatomy.pose_rows(name)] = _finger_pose(name, curl, spread, rng)
    axis_angle[anatomy.pose_rows("thumb")] = _thumb_pose(opposition, bend, rng)
    return axis_angle


def gesture_pose(name: str) -> np.ndarray:
    """The axis-angle pose [15, 3] of one of `GESTURES`, without noise."""
    curls, (opposition, bend), spread = GESTURES[name]
    axis_angle = np.zeros((15, 3))
    for finger, curl in zip(_CURLED, curls):
        axis_angle[anatomy.pose_rows(finger)] = _finger_pose(finger, curl, spread, None)
    axis_angle[anatomy.pose_rows("thumb")] = _thumb_pose(opposition, bend, None)
    return axis_angle


def pose_statistics(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [45], principal directions [45, 45] (rows) and standard deviations [45] of sampled poses."""
    rng = np.random.default_rng(seed)
    poses = np.stack([sample_pose(rng).reshape(-1) for _ in range(count)])
    mean = poses.mean(axis=0)
    _, deviations, rows = np.linalg.svd((poses - mean) / np.sqrt(count - 1), full_matrices=False)
    return mean, rows, deviations


def _sample_words(rng):
    gestures = list(GESTURES.values())
    first, second = (gestures[i] for i in rng.integers(len(gestures), size=2))
    kind = rng.random()
    if kind < 0.25:  # every finger independently
        return rng.beta(0.6, 0.7, size=4), (rng.uniform(-0.2, 1.0), rng.uniform(0, 0.8)), rng.uniform(-0.3, 1.0)
    mix = 0.0 if kind < 0.7 else rng.random()
    curls = (1 - mix) * np.array(first[0]) + mix * np.array(second[0])
    thumb = (1 - mix) * np.array(first[1]) + mix * np.array(second[1])
    return (
        np.clip(curls + rng.normal(0, 0.07, 4), 0, 1),
        tuple(thumb + rng.normal(0, 0.12, 2)),
        first[2] + rng.normal(0, 0.25),
    )


def _finger_pose(name, curl, spread, rng):
    angles = np.zeros((3, 3))
    angles[:, 0] = curl * np.array(_FULL_CURL_DEG)
    # A curled finger cannot be spread: the collateral ligaments are tight.
    angles[0, 1] = spread * _SPREAD_DEG[name] * (1 - 0.85 * curl)
    if rng is not None:
        angles[:, 0] += rng.normal(0, (7.0, 8.0, 5.0))
        angles[0, 1:] += rng.normal(0, (2.5, 1.5))
    return _to_axis_angle(name, angles, "finger")


def _thumb_pose(opposition, bend, rng):
    angles = np.array(
        [[40.0 * opposition, 14.0 * opposition, 16.0 * opposition], [48.0 * bend, 0, 0], [62.0 * bend, 0, 0]]
    )
    if rng is not None:
        angles += rng.normal(0, ((5, 6, 4), (6, 2, 1), (9, 0, 0)))
    return _to_axis_angle("thumb", angles, "thumb")


def _to_axis_angle(name, angles_deg, kind):
    limits = np.array(anatomy.LIMITS_DEG[kind], float)
    clipped = np.clip(angles_deg, limits[..., 0], limits[..., 1])
    return np.deg2rad(clipped) @ anatomy.joint_axes(name)
