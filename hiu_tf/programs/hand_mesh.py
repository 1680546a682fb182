"""Writes a hand as a mesh file: OBJ, PLY (coloured), or GLB (textured, with its skeleton: it opens posed and can be bent).

    hiu mesh hand.glb --gesture victory
    hiu mesh hand.ply --prediction predictions/photo.json --number 2
    hiu mesh hand.glb --gesture fist --hand mano_right.npz

--prediction reads the JSON of `hiu predict` and takes the hand with the highest score, or that of --number. Gestures
are defined for our own hand; for another hand model the joint angles are converted so that the bones keep their
directions.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from hiu_tf.commands.values import positive
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program

_KEYS = ("shape", "pose", "rotation", "translation")


def chosen_hand(args):
    """Hand model and beta, theta, R, T of the hand that the arguments select."""
    from hiu_tf.geometry.rotation import axis_angle
    from hiu_tf.hand import poses
    from hiu_tf.hand.anatomy import UPRIGHT
    from hiu_tf.hand.load import load_hand
    from hiu_tf.hand.procedural import procedural_hand
    from hiu_tf.hand.retarget import retarget

    hand = load_hand(args.hand)
    if args.prediction:
        return _read_prediction(Path(args.prediction), args.number or 1, hand)
    pose = poses.gesture_pose(args.gesture)
    rotation = axis_angle(UPRIGHT)
    one = {"pose": pose[None], "rotation": rotation[None], "translation": np.array([[0, 0.06, 0.6]])}
    turned = retarget(one, procedural_hand(), hand)
    return hand, {"shape": np.zeros(10)} | {key: value[0] for key, value in turned.items()}


def _read_prediction(path, number, hand):
    """Reads one hand of the JSON. The parameters of a left hand describe its mirror image, a right hand."""
    from hiu_tf.hand.model import mirror_hand, mirror_rotations

    try:
        hands = json.loads(path.read_text())["hands"]
        if number > len(hands):
            raise UserError(f"{path} holds {len(hands)} hand(s): there is no number {number}")
        content = hands[number - 1]
        found = {key: np.asarray(content[key], float) for key in _KEYS}
        _check(path, hand, content, found)
        if content["side"] == "right":
            return hand, found
        found |= {key: mirror_rotations(found[key]) for key in ("pose", "rotation")}
        return mirror_hand(hand), found | {"translation": found["translation"] * np.array([-1, 1, 1])}
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is no JSON of `hiu predict` for a picture: {error!r}") from error


def _check(path, hand, content, found):
    for key, shape in zip(_KEYS, ((10,), (15, 3), (3,), (3,))):
        if found[key].shape != shape or not np.all(np.abs(found[key]) < 1e3):
            raise UserError(f"{path}: {key} must be finite numbers of shape {shape}, got shape {found[key].shape}")
    if content["side"] not in ("right", "left"):
        raise UserError(f"{path}: side must be right or left, got {content['side']!r}")
    if content["hand"] != hand.name:
        raise UserError(f"{path} is of {content['hand']}, not of {hand.name}: give its --hand")


def write_obj(path: Path, hand, **parameters) -> None:
    """Writes the posed mesh as Wavefront OBJ."""
    from hiu_tf.runtime import results

    results.write_text(path, results.obj_text({"hand": (_posed(hand, parameters), hand.faces)}))


def write_ply(path: Path, hand, **parameters) -> None:
    """Writes the posed mesh with vertex colours as PLY."""
    from hiu_tf.atomic import written_whole
    from hiu_tf.hand.anatomy import SKIN_COLOR
    from hiu_tf.runtime.results import ply_bytes

    with written_whole(path) as scratch:
        scratch.write_bytes(ply_bytes(_posed(hand, parameters), hand.faces, hand.colors * SKIN_COLOR))


def write_glb(path: Path, hand, **parameters) -> None:
    """Writes the skinned and textured mesh as GLB."""
    from hiu_tf.hand import gltf

    gltf.write_glb(path, hand, **parameters)


WRITERS = {".obj": write_obj, ".ply": write_ply, ".glb": write_glb}


def _posed(hand, parameters):
    from hiu_tf.fit.chain import Hands
    from hiu_tf.fit.skin import Skin
    from hiu_tf.geometry.rotation import rotation_matrix

    shape, pose, rotation, translation = (np.asarray(parameters[key], float)[np.newaxis] for key in _KEYS)
    return Skin(hand)(Hands(shape, pose, rotation_matrix(rotation), translation))[0]


def parse_args(argv):
    """Parses the command line."""
    from hiu_tf.hand.poses import GESTURES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help=f"file to write, ending in {', '.join(WRITERS)}")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--prediction", help="JSON of `hiu predict`")
    parser.add_argument("--number", type=positive, help="of the hand in --prediction (default: 1, the surest)")
    source.add_argument("--gesture", default="open", choices=sorted(GESTURES), help="a pose (default: open)")
    parser.add_argument("--hand", default="procedural", help='"procedural" or an .npz (default: procedural)')
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    if args.number and not args.prediction:
        parser.error("--number needs --prediction")
    return args


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    out = Path(args.out)
    if out.suffix.lower() not in WRITERS:
        raise UserError(f"{out}: the name must end in one of {', '.join(WRITERS)}")
    hand, parameters = chosen_hand(args)
    WRITERS[out.suffix.lower()](out, hand, **parameters)
    print(f"{out}: {hand.name}, {len(hand.vertices)} vertices")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
