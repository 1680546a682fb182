"""Fits R, T and theta of hands to masks with the differentiable renderer, to show what self-supervision alone can do.

    python tools/fit_mask.py --out docs/images
    python tools/fit_mask.py --out fits --starts 40 --levels 1

From random wrong starts, Adam fits each hand to the mask of a target hand; once by the mask alone, once by
mask and 2D joints. Prints the overlap (IoU) before and after, and writes fit_mask.png (targets, starts,
results) and fit_mask.gif (one hand during the fit).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from hiu_tf.commands.values import positive
from hiu_tf.programs._program import program

_SIZE = 128
_LEARNING_RATE = 0.02
#: Errors of the starts: finger joints of another natural pose, R by degrees, T by metres.
_WRONG_TURN_DEG, _WRONG_PLACE = 25.0, (0.03, 0.03, 0.06)


def random_hands(count: int, seed: int) -> dict[str, np.ndarray]:
    """Draws hands in natural poses and random views in the middle of the picture."""
    from scipy.spatial.transform import Rotation

    from hiu_tf.hand.poses import sample_pose

    rng = np.random.default_rng(seed)
    return {
        "pose": np.stack([sample_pose(rng) for _ in range(count)]),
        "rotation": Rotation.random(count, rng).as_rotvec(),
        "translation": np.array([0.0, 0.0, 0.62]) + rng.normal(size=(count, 3)) * 0.01,
    }


def wrong_starts(truth: dict[str, np.ndarray], seed: int, far: float) -> dict[str, np.ndarray]:
    """Draws starts with other poses, rotated and displaced from the truth."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    count = len(truth["pose"])
    axes = rng.normal(size=(count, 3))
    turn = np.deg2rad(_WRONG_TURN_DEG) * axes / np.linalg.norm(axes, axis=1, keepdims=True)
    return {
        "pose": random_hands(count, seed + 1)["pose"],
        "rotation": (Rotation.from_rotvec(turn) * Rotation.from_rotvec(truth["rotation"])).as_rotvec(),
        "translation": truth["translation"]
        + rng.choice([-1, 1], (count, 3)) * _WRONG_PLACE * np.array([far, far, 1.0]),
    }


def fit(truth, start, with_joints: bool, levels: int, steps: int):
    """Runs the fit. Returns masks of the truth, and of the hands at the start and after every tenth step."""
    import tensorflow as tf
    import tf_keras as keras
    from tqdm import tqdm

    from hiu_tf.geometry.camera import virtual_intrinsics
    from hiu_tf.geometry.tensor.camera import project
    from hiu_tf.hand.layer import pose_hand
    from hiu_tf.hand.prior import pose_log_likelihood
    from hiu_tf.hand.procedural import procedural_hand
    from hiu_tf.render.silhouette import mask_pyramid, silhouette

    hand, camera = procedural_hand(), virtual_intrinsics(_SIZE)

    def draw(parameters):
        count = parameters["pose"].shape[0]
        pose, rotation, translation = (tf.cast(parameters[k], tf.float32) for k in ("pose", "rotation", "translation"))
        posed = pose_hand(hand, tf.zeros([count, 10]), pose, rotation, tf.zeros([count, 3]), bone_transforms=True)
        shift = (translation - posed["bone_transforms"][:, 4, :3, 3])[:, tf.newaxis]
        mask = silhouette(posed["vertices"] + shift, hand.closed_faces, camera, _SIZE)
        return mask_pyramid(mask, levels), project(posed["joints_3d"] + shift, camera)

    target_masks, target_joints = draw(truth)
    variables = {name: tf.Variable(value, dtype=tf.float32) for name, value in start.items()}
    schedule = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)
    optimizer = keras.optimizers.Adam(schedule)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            masks, joints = draw(variables)
            loss = tf.reduce_mean(tf.abs(masks[0] - target_masks[0]), axis=[1, 2])
            for mask, target in zip(masks[1:], target_masks[1:]):
                loss += tf.reduce_mean(tf.square(mask - target), axis=[1, 2])
            if with_joints:
                loss += tf.reduce_mean(tf.norm(joints - target_joints + 1e-6, axis=-1), axis=1) / _SIZE
            loss -= 1e-4 * pose_log_likelihood(hand, variables["pose"])
        gradients = tape.gradient(loss, list(variables.values()))
        optimizer.apply_gradients(zip(gradients, variables.values()))
        return masks[0]

    frames = []
    for number in tqdm(
        range(steps), desc="mask and joints" if with_joints else "mask alone", unit="step", disable=None
    ):
        mask = step()
        if number % 10 == 0:
            frames.append(mask.numpy())
    frames.append(draw(variables)[0][0].numpy())
    return target_masks[0].numpy(), frames


def overlap(masks, targets) -> np.ndarray:
    """IoU of masks [B, S, S] at 0.5."""
    a, b = masks > 0.5, targets > 0.5
    return (a & b).sum(axis=(1, 2)) / np.maximum((a | b).sum(axis=(1, 2)), 1)


def picture(mask, target) -> np.ndarray:
    """Draws the target blue, the mask orange and their overlap light: [S, S, 3] uint8 RGB."""
    colors = np.ones((*mask.shape, 3))
    colors -= target[..., None] * np.array([0.75, 0.45, 0.1])
    colors -= mask[..., None] * np.array([0.05, 0.35, 0.75])
    return (255 * np.clip(colors, 0, 1)).astype(np.uint8)


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".", help="folder for the pictures (default: here)")
    parser.add_argument("--starts", type=positive, default=20, help="how many hands (default 20)")
    parser.add_argument("--steps", type=positive, default=300, help="steps of Adam (default 300)")
    parser.add_argument(
        "--levels", type=positive, default=6, help="blurred masks at S, S/2, ... (default 6; 1 is the plain mask)"
    )
    parser.add_argument(
        "--far", type=float, default=1.0, help="starts so many times 3 cm beside the target (default 1)"
    )
    parser.add_argument("--seed", type=int, default=5, help="of targets and starts (default 5)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    import cv2
    from PIL import Image

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    truth = random_hands(args.starts, args.seed)
    start = wrong_starts(truth, args.seed + 1, args.far)
    rows = []
    for with_joints in (False, True):
        target, frames = fit(truth, start, with_joints, args.levels, args.steps)
        before, after = overlap(frames[0], target), overlap(frames[-1], target)
        print(
            f"{'mask and joints' if with_joints else 'mask alone':16s} IoU before: median {np.median(before):.3f}, "
            f"worst {before.min():.3f}; after: median {np.median(after):.3f}, worst {after.min():.3f}"
        )
        if not rows:
            rows.append(np.hstack([picture(m, t) for m, t in zip(frames[0][:10], target)]))
        rows.append(np.hstack([picture(m, t) for m, t in zip(frames[-1][:10], target)]))
    cv2.imwrite(str(out / "fit_mask.png"), np.vstack(rows)[..., ::-1])
    movie = [Image.fromarray(np.hstack([picture(f[i], target[i]) for i in range(min(4, args.starts))])) for f in frames]
    movie[0].save(out / "fit_mask.gif", save_all=True, append_images=movie[1:], duration=90, loop=0)
    print(out / "fit_mask.png", out / "fit_mask.gif")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
