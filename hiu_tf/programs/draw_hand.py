"""Draws a hand model: natural poses from three sides, and the effect of each shape direction.

    python tools/draw_hand.py --out docs/images
    python tools/draw_hand.py --hand mano_right.npz --out pictures

Writes hand_poses.png (24 poses x 3 views) and hand_shapes.png (10 directions x -2, 0, +2 standard deviations).
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from hiu_tf.programs._program import program

_SIZE, _OVERSAMPLE = 150, 2
_BACKGROUND = 0.96
_LIGHTS = np.array([[-0.45, -0.75, -0.55, 0.62, 0.60, 0.57], [0.8, 0.1, -0.5, 0.22, 0.24, 0.27]])
#: Axis-angle views of a hand with fingers up (hand frame -> camera frame): palm, thumb side, back.
_TURNS_DEG = {"palm": 0.0, "thumb side": 75.0, "back": 180.0}


def draw(hand, shape, pose, rotations) -> np.ndarray:
    """Renders B hands: shape [B, 10], pose [B, 15, 3], rotations [B, 3, 3] -> [B, S, S, 3] uint8."""
    import cv2
    import tensorflow as tf

    from hiu_tf.hand.anatomy import SKIN_COLOR
    from hiu_tf.hand.layer import pose_hand
    from hiu_tf.render.rasterizer import rasterize
    from hiu_tf.render.shading import interpolate, shade

    size = _SIZE * _OVERSAMPLE
    shape, pose, rotations = (np.asarray(x, np.float32) for x in (shape, pose, rotations))
    posed = pose_hand(hand, shape, pose, rotations, np.zeros((len(shape), 3), np.float32), normals=True)
    vertices, normals = posed["vertices"].numpy(), posed["normals"].numpy()
    middle = (vertices.max(axis=1) + vertices.min(axis=1))[:, np.newaxis] / 2
    points = (vertices - middle)[..., :2] * (size / 0.25) + size / 2
    buffer = rasterize(tf.constant(points), tf.constant(vertices[..., 2] - middle[..., 2] + 1.0), hand.faces, size)
    pictures = []
    for i in range(len(shape)):
        corners, weights = buffer.vertex_ids[i].numpy(), buffer.barycentrics.value[i].numpy()
        surface_normals = interpolate(normals[i], corners, weights)
        surface_normals /= np.maximum(np.linalg.norm(surface_normals, axis=-1, keepdims=True), 1e-9)
        colors = interpolate(hand.colors * SKIN_COLOR, corners, weights)
        lit = shade(colors, surface_normals, _LIGHTS, np.array([0.34, 0.34, 0.36]))
        picture = np.where(buffer.foreground_mask[i].numpy() > 0, lit, _BACKGROUND)
        pictures.append(cv2.resize(picture, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA))
    return (255 * np.stack(pictures) ** 0.85).astype(np.uint8)


def pose_sheet(hand) -> np.ndarray:
    """All gestures and some samples of the pose prior, each from three sides; four poses in a row."""
    from hiu_tf.hand import poses

    rng = np.random.default_rng(20)
    named = {name: poses.gesture_pose(name) for name in poses.GESTURES}
    named |= {f"sample {i}": poses.sample_pose(rng) for i in range(1, 25 - len(named))}
    cells = []
    for name, pose in named.items():
        views = draw(hand, np.zeros((3, 10)), [pose] * 3, [_view(turn) for turn in _TURNS_DEG.values()])
        cells.append(_titled(np.hstack(views), name))
    return _grid(cells, 3)


def shape_sheet(hand) -> np.ndarray:
    """Each shape direction at -2, 0 and +2 standard deviations, palm view."""
    from hiu_tf.hand import anatomy

    cells = []
    for k in range(10):
        shapes = np.zeros((3, 10))
        shapes[:, k] = (-2, 0, 2)
        name = anatomy.SHAPE_DIRECTIONS[k].name if "procedural" in hand.name else f"direction {k + 1}"
        views = draw(hand, shapes, np.zeros((3, 15, 3)), [_view(0)] * 3)
        cells.append(_titled(np.hstack(views), f"{name}: -2, 0, +2"))
    return _grid(cells, 2)


def _view(turn_deg):
    """Rotation [3, 3], hand frame -> camera frame: the upright hand turned about the vertical axis."""
    from hiu_tf.hand.anatomy import UPRIGHT

    c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ UPRIGHT


def _titled(picture, text):
    import cv2

    picture = picture.copy()
    cv2.putText(picture, text, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (70, 70, 70), 1, cv2.LINE_AA)
    return picture


def _grid(cells, columns):
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    return np.vstack(rows)


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hand", default="procedural", help='"procedural" or an .npz (default: procedural)')
    parser.add_argument("--out", default=".", help="folder for the two pictures (default: here)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    import cv2

    import hiu_tf  # noqa: F401  (before tensorflow)
    from hiu_tf.atomic import written_whole
    from hiu_tf.hand.load import load_hand

    hand, out = load_hand(args.hand), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, sheet in (("hand_poses.png", pose_sheet(hand)), ("hand_shapes.png", shape_sheet(hand))):
        with written_whole(out / name) as scratch:
            cv2.imwrite(str(scratch), sheet[..., ::-1])
        print(out / name)
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
