"""Draws a hand model: natural poses from three sides, the effect of each shape direction, and our own hand's skin.

    python tools/draw_hand.py --out docs/images
    python tools/draw_hand.py --hand mano_right.npz --out pictures

Writes hand_poses.png (24 poses x 3 views), hand_shapes.png (10 directions x -2, 0, +2 standard deviations) and, of our
own hand, hand_skin.jpg (textured hands and the atlas).
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from hiu_tf.programs._program import program

_SIZE, _LARGE, _OVERSAMPLE = 150, 640, 2
_BACKGROUND = 0.96
_LIGHTS = np.array([[-0.45, -0.75, -0.55, 0.62, 0.60, 0.57], [0.8, 0.1, -0.5, 0.22, 0.24, 0.27]])
#: Axis-angle views of a hand with fingers up (hand frame -> camera frame): palm, thumb side, back.
_TURNS_DEG = {"palm": 0.0, "thumb side": 75.0, "back": 180.0}


def draw(hand, shape, pose, rotations, size=_SIZE, textured=False) -> np.ndarray:
    """Renders B hands: shape [B, 10], pose [B, 15, 3], rotations [B, 3, 3] -> [B, size, size, 3] uint8.

    The colours are those of the vertices, or of the default skin if `textured` (our own hand alone).
    """
    import cv2
    import tensorflow as tf

    from hiu_tf.hand.anatomy import SKIN_COLOR
    from hiu_tf.hand.atlas import atlas_of
    from hiu_tf.hand.layer import pose_hand
    from hiu_tf.render.rasterizer import rasterize
    from hiu_tf.render.shading import interpolate, shade

    large = size * _OVERSAMPLE
    shape, pose, rotations = (np.asarray(x, np.float32) for x in (shape, pose, rotations))
    posed = pose_hand(hand, shape, pose, rotations, np.zeros((len(shape), 3), np.float32), normals=True)
    atlas, faces = atlas_of(hand) if textured else None, hand.faces
    vertices, normals = posed["vertices"].numpy(), posed["normals"].numpy()
    if atlas is not None:
        vertices, normals, faces = vertices[:, atlas.source], normals[:, atlas.source], atlas.faces.astype(np.int32)
    middle = (vertices.max(axis=1) + vertices.min(axis=1))[:, np.newaxis] / 2
    points = (vertices - middle)[..., :2] * (large / 0.25) + large / 2
    buffer = rasterize(tf.constant(points), tf.constant(vertices[..., 2] - middle[..., 2] + 1.0), faces, large)
    pictures = []
    for i in range(len(shape)):
        corners, weights = buffer.vertex_ids[i].numpy(), buffer.barycentrics.value[i].numpy()
        surface_normals = interpolate(normals[i], corners, weights)
        surface_normals /= np.maximum(np.linalg.norm(surface_normals, axis=-1, keepdims=True), 1e-9)
        if atlas is None:
            colors = interpolate(hand.colors * SKIN_COLOR, corners, weights)
        else:
            colors = _looked_up(interpolate(atlas.uv, corners, weights))
        lit = shade(colors, surface_normals, _LIGHTS, np.array([0.34, 0.34, 0.36]))
        picture = np.where(buffer.foreground_mask[i].numpy() > 0, lit, _BACKGROUND)
        pictures.append(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA))
    return (255 * np.stack(pictures) ** 0.85).astype(np.uint8)


def _looked_up(uv):
    """Colours [H, W, 3] in [0, 1] of the default skin at texture coordinates [H, W, 2]."""
    import cv2

    skin = _skin() / 255
    at = (uv * skin.shape[1::-1] - 0.5).astype(np.float32)
    return cv2.remap(skin, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _skin():
    from hiu_tf.hand.atlas import skin_picture
    from hiu_tf.pictures import decode_picture

    return decode_picture(skin_picture())


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


def skin_sheet(hand) -> np.ndarray:
    """Palm and back of the textured hand, flat and in a gesture, and its atlas with the seams."""
    import cv2

    from hiu_tf.hand import poses
    from hiu_tf.hand.atlas import atlas_of

    views = [_view(_TURNS_DEG[name]) for name in ("palm", "back")]
    gestures = [poses.gesture_pose(name) for name in ("open", "open", "fist", "ok")]
    cells = draw(hand, np.zeros((4, 10)), gestures, [*views, *views], _LARGE // 2, textured=True)
    atlas, skin = atlas_of(hand), _skin()
    picture = cv2.resize(skin, (_LARGE, _LARGE), interpolation=cv2.INTER_LINEAR)
    edges = np.concatenate([atlas.faces[:, [0, 1]], atlas.faces[:, [1, 2]], atlas.faces[:, [2, 0]]])
    inner = set(map(tuple, edges[:, ::-1]))
    for edge in (edge for edge in map(tuple, edges) if edge not in inner):
        at = np.round(16 * (atlas.uv[list(edge)] * _LARGE - 0.5)).astype(np.int32)
        cv2.polylines(picture, [at], False, (90, 50, 45), 2, cv2.LINE_AA, shift=4)
    return np.hstack([np.vstack([np.hstack(cells[:2]), np.hstack(cells[2:])]), picture])


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
    parser.add_argument("--out", default=".", help="folder for the pictures (default: here)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    import cv2

    import hiu_tf  # noqa: F401  (before tensorflow)
    from hiu_tf.atomic import written_whole
    from hiu_tf.hand.atlas import atlas_of
    from hiu_tf.hand.load import load_hand

    hand, out = load_hand(args.hand), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    sheets = {"hand_poses.png": pose_sheet(hand), "hand_shapes.png": shape_sheet(hand)}
    if atlas_of(hand) is not None:
        sheets["hand_skin.jpg"] = skin_sheet(hand)
    for name, sheet in sheets.items():
        with written_whole(out / name) as scratch:
            cv2.imwrite(str(scratch), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
        print(out / name)
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
