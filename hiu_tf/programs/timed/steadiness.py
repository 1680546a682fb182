"""How steady and how late hands in clips are: rendered hands that rest, move and bend, whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hiu_tf.programs.timed.timing import in_own_process

_RATE, _FRAMES = 25.0, 75
_SIZE = (480, 640)
#: Standard deviation of the sensor's noise in each frame, of 255.
_NOISE = 6.0
#: Frames at the beginning that are not measured, while the filter starts.
_FIRST = 12
#: Path of the moving hand: hertz, and pixels to each side.
_HERTZ, _REACH = 0.4, 130.0
_SCENES = (3, 5, 11)  # right hands, whole, of different skin and light


def steadiness_table(model: str | None, strengths: list[float]) -> list[dict]:
    """A row for each strength of the filter (`hiu predict --smooth`), means over a few rendered hands.

    Jitter: root mean square of the joints' steps from frame to frame while the hand rests, of the hand's box. Lag: the
    delay at which the predictions fit the moving hand's true joints best. Error: mean distance to the true joints, of the
    box, while the hand moves. Bones: standard deviation of the lengths of a bending hand's bones over time, of the length.
    """
    return in_own_process(_measure, model, strengths)


def _measure(model, strengths):
    from hiu_tf.runtime.predictor import Predictor
    from hiu_tf.runtime.shipped import shipped_model

    predictor = Predictor(model or shipped_model(), 1)
    clips = [{name: clip(seed, name) for name in ("rests", "moves", "bends")} for seed in _SCENES]
    rows = []
    for strength in strengths:
        found = [_of_one_hand(predictor, strength, one) for one in clips]
        rows.append({"smooth": strength} | {name: float(np.mean([row[name] for row in found])) for name in found[0]})
    return rows


def clip(seed: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Renders a clip of one right hand with noise.

    Args:
      seed: of the hand, its skin, light and pose.
      kind: "rests", "moves" along a curve, or "bends" its fingers.

    Returns:
      Frames [T, 480, 640, 3] uint8 RGB, and the true joints [T, 21, 2] in pixels.
    """
    import cv2

    from hiu_tf.hand.load import load_hand
    from hiu_tf.hand.poses import gesture_pose
    from hiu_tf.pictures import decode_mask, decode_rgb
    from pipelines.datasets.synthetic.backdrop import background
    from pipelines.datasets.synthetic.render import render
    from pipelines.datasets.synthetic.scene import sample_scene

    rng = np.random.default_rng(seed)
    open_hand, fist = gesture_pose("open"), gesture_pose("fist")
    scene = replace(
        sample_scene(seed), pose=open_hand, rotation=_facing(), centre=np.array([128.0, 128.0]), hand_pixels=170.0
    )
    phases = np.arange(_FRAMES) / _RATE
    if kind == "bends":
        bent = 0.35 * (1 - np.cos(2 * np.pi * _HERTZ * phases))  # 0 is open, .7 the most
        poses = [(open_hand + share * (fist - open_hand)).astype(np.float32) for share in bent]
    else:
        poses = [scene.pose]
    wall = 255 * cv2.resize(background(256, rng), _SIZE[::-1]).astype(np.float32)
    samples = render([replace(scene, pose=pose) for pose in poses], load_hand(), [str(k) for k in range(len(poses))])
    hands = [
        (decode_rgb(s.image).astype(np.float32), decode_mask(s.mask)[..., np.newaxis] / 255.0, s.joints_2d)
        for s in samples
    ]
    frames, joints = [], []
    for k, phase in enumerate(phases):
        picture, mask, points = hands[k % len(hands)]
        angle = 2 * np.pi * _HERTZ * phase
        moved = np.array([np.sin(angle), 0.4 * np.sin(2 * angle)]) * _REACH if kind == "moves" else np.zeros(2)
        corner = np.array([192.0, 112.0]) + moved
        place = np.array([[1, 0, corner[0]], [0, 1, corner[1]]])
        flat, share = (cv2.warpAffine(x, place, _SIZE[::-1]).reshape(*_SIZE, -1) for x in (picture, mask))
        frame = wall * (1 - share) + flat * share + rng.normal(0, _NOISE, (*_SIZE, 3))
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
        joints.append(points + corner)
    return np.stack(frames), np.stack(joints)


def _facing():
    """Rotation of a hand whose palm faces the camera, fingers up."""
    from scipy.spatial.transform import Rotation

    from hiu_tf.hand.anatomy import UPRIGHT

    return Rotation.from_matrix(UPRIGHT).as_rotvec().astype(np.float32)


def _of_one_hand(predictor, strength, clips):
    from hiu_tf.conventions.skeleton import BONES

    rests, moves, bends = (_followed(predictor, clips[name][0], strength) for name in ("rests", "moves", "bends"))
    truth = clips["moves"][1]
    box = float(np.ptp(truth[0], axis=0).max())
    steps = np.diff([hand.joints_2d for hand in rests[_FIRST:]], axis=0)
    mesh_steps = np.diff([hand.joints_2d_projected for hand in rests[_FIRST:]], axis=0)
    seen = np.stack([hand.joints_2d for hand in moves])
    joints = np.stack([hand.joints_3d for hand in bends[_FIRST:]])
    bones = np.linalg.norm(joints[:, BONES[:, 1]] - joints[:, BONES[:, 0]], axis=-1)
    off = lambda found, true: float(np.linalg.norm(np.stack(found) - true, axis=-1)[_FIRST:].mean()) / box
    size = lambda values: float(np.sqrt(np.square(values).sum(axis=-1).mean()))
    return {
        "jitter, joints (% of box)": 100 * size(steps) / box,
        "jitter, mesh (% of box)": 100 * size(mesh_steps) / box,
        "lag (ms)": _lag_ms(seen, truth),
        "error, moving (% of box)": 100 * off(seen, truth),
        "bones, bending (%)": 100 * float((bones.std(axis=0) / bones.mean(axis=0)).mean()),
        "error, mesh, bending (% of box)": 100 * off([hand.joints_2d_projected for hand in bends], clips["bends"][1]),
    }


def _followed(predictor, frames, strength):
    """The one hand of each frame; that of the frame before where it is lost."""
    from hiu_tf.errors import UserError
    from hiu_tf.runtime.tracker import follow

    hands = []
    for found in follow(predictor, frames, _RATE, strength, most=1, side="right"):
        if not (found or hands):
            raise UserError("the model finds no hand in the first frame of a rendered clip: give another --model")
        hands.append(found[0] if found else hands[-1])
    return hands


def _lag_ms(seen, truth):
    """The delay for which the true path, shifted by it, is nearest to what was seen."""
    times = np.arange(len(truth)) / _RATE
    delays = np.arange(0.0, 0.3, 0.002)
    late = lambda delay: np.stack(
        [np.interp(times - delay, times, column) for column in truth.reshape(len(truth), -1).T], axis=1
    )
    flat = seen.reshape(len(seen), -1)
    errors = [np.abs(late(delay) - flat)[_FIRST:].mean() for delay in delays]
    return 1000 * float(delays[int(np.argmin(errors))])
