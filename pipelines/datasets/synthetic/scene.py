"""Content of a rendered picture: hand, view, light, background, occluders. NumPy, seeded."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from hiu_tf.hand.anatomy import UPRIGHT
from hiu_tf.hand.poses import sample_pose

PICTURE_SIZE = 256
#: Files of poses and views of real hands, as hiu fit writes them.
POSES = "poses.npz"
#: Share of hands with poses of real hands, if there are any, and the noise added to these poses (radians).
_REAL_SHARE, _POSE_NOISE, _VIEW_NOISE = 0.7, 0.08, 0.3
#: Skin tones (sRGB) from light to dark.
_SKIN_TONES = np.array(
    [
        [0.96, 0.84, 0.78], [0.93, 0.77, 0.68], [0.89, 0.70, 0.58], [0.82, 0.62, 0.49],
        [0.74, 0.53, 0.40], [0.62, 0.43, 0.32], [0.48, 0.33, 0.25], [0.35, 0.24, 0.19], [0.26, 0.18, 0.15],
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """One random scene: hand parameters, camera and appearance. Angles in radians, lengths in metres."""

    shape: np.ndarray  # [10]
    pose: np.ndarray  # [15, 3]
    rotation: np.ndarray  # [3] axis-angle
    focal: float  # pixels
    hand_pixels: float  # desired longer side of the hand's box
    centre: np.ndarray  # [2] pixels, desired centre of the hand's box
    skin: np.ndarray  # [3]
    lights: np.ndarray  # [L, 6]: direction to the light (unit), colour
    ambient: np.ndarray  # [3]
    sleeve: np.ndarray | None  # [3] colour of clothing on the forearm
    forearm: bool
    seed: int  # seed of everything drawn per pixel


def sample_scene(seed: int, real: tuple[np.ndarray, np.ndarray] | None = None) -> Scene:
    """Draws the scene of a seed; equal seeds give equal scenes.

    Args:
      seed: of all random numbers.
      real: poses [N, 15, 3] and views [N, 3, 3] of real hands; most scenes then use one of them, slightly changed.
    """
    rng = np.random.default_rng(seed)
    scene = _sample_scene(rng)
    return scene if real is None or rng.random() > _REAL_SHARE else _like_real(scene, *real, rng)


def _like_real(scene, poses, views, rng):
    number = rng.integers(len(poses))
    view = Rotation.from_rotvec(rng.normal(0, _VIEW_NOISE, 3)) * Rotation.from_matrix(views[number])
    pose = poses[number] + rng.normal(0, _POSE_NOISE, (15, 3)) * (np.abs(poses[number]) > 0.02)
    return replace(scene, pose=pose.astype(np.float32), rotation=view.as_rotvec().astype(np.float32))


def _sample_scene(rng):
    return Scene(
        shape=np.clip(rng.normal(0, 1.0, 10), -2.5, 2.5).astype(np.float32),
        pose=sample_pose(rng).astype(np.float32),
        rotation=_sample_view(rng).as_rotvec().astype(np.float32),
        focal=float(PICTURE_SIZE * rng.uniform(0.9, 2.6)),
        hand_pixels=float(rng.uniform(105, 205)),
        centre=rng.normal(PICTURE_SIZE / 2, 14, size=2),
        skin=_sample_skin(rng),
        lights=_sample_lights(rng),
        ambient=rng.uniform(0.25, 0.6) * (1 + rng.normal(0, 0.08, 3)),
        sleeve=rng.uniform(0.05, 0.95, 3) if rng.random() < 0.55 else None,
        forearm=bool(rng.random() < 0.85),
        seed=int(rng.integers(1 << 31)),
    )


def _sample_view(rng):
    """Draws a view: mostly as people show a hand to a camera (palm or back, fingers up), sometimes any other."""
    anywhere = rng.random() < 0.15
    azimuth = rng.uniform(-np.pi, np.pi) if anywhere else rng.choice([0, np.pi], p=[0.65, 0.35]) + rng.normal(0, 0.45)
    elevation = rng.normal(0, 0.5 if anywhere else 0.3)
    roll = rng.uniform(-np.pi, np.pi) if anywhere else rng.normal(0, 0.3)
    view = Rotation.from_euler("zxy", [roll, elevation, azimuth])
    return view * Rotation.from_matrix(UPRIGHT)


def _sample_skin(rng):
    position = rng.uniform(0, len(_SKIN_TONES) - 1)
    tone = np.array([np.interp(position, range(len(_SKIN_TONES)), channel) for channel in _SKIN_TONES.T])
    return np.clip(tone * (1 + rng.normal(0, 0.05, 3)), 0.05, 1.0)


def _sample_lights(rng):
    count = rng.integers(1, 4)
    direction = rng.normal(size=(count, 3)) + np.array([0, -0.5, -0.7])  # mostly from above and from the camera
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    warmth = rng.normal(0, 0.10, (count, 1)) * np.array([[1.0, 0.1, -1.0]])
    strength = rng.uniform(0.35, 0.95, (count, 1)) / np.sqrt(count)
    return np.concatenate([direction, strength * (1 + warmth)], axis=1)
