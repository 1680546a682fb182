"""Labels hands with the key points that a model predicts, where several looks at a hand agree.

    hiu label photos/ --out labelled
    hiu label boxes/train.json --out labelled
    hiu prepare own_data --source labelled --split train --out data/labelled

The source is a folder of pictures, whose hands the detector finds, or a file of annotations in COCO's form with the
boxes of hands (`bbox`, `hand_side` where known). Each hand is predicted through six windows that differ in angle, size
and place. Their median becomes its key points, with `spread` and `score`, if the windows agree, and if the joints are
sure, inside the picture and in the given box; the side must be given, or the model sure of it. Other hands are left
out, as are annotations that have key points already. The result is a folder as `hiu prepare own_data` reads it, with a
sheet of some of the labels, those with the largest spread last. Look at it: looks that agree can be wrong together.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hiu_tf.commands.values import positive, share
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program

#: A label's box must share this much (intersection over union) with the box that was given.
_LEAST_OVERLAP = 0.5
#: Pixels by which a joint may lie outside of its picture.
_MARGIN = 2.0
#: A side that was not given must have this probability at least.
_SURE_SIDE = 0.9
#: COCO's origin is the corner of the first pixel, ours its centre.
_CORNER = 0.5
_SHOWN, _TILE = 48, 160


class Given(NamedTuple):
    """A hand to be labelled: its box in COCO's pixels, its side or None, and what to call it in messages."""

    box: list[float]
    side: str | None
    name: str


class Label(NamedTuple):
    """A new label: its annotation, and the picture and joints [21, 2] that it is drawn from."""

    annotation: dict
    file: Path
    joints_2d: np.ndarray


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="hiu label", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of pictures, or JSON file with boxes beside its pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder for the labels and copies of the pictures")
    parser.add_argument(
        "--split", type=_name, default="train", help="name of the file of labels (default: %(default)s)"
    )
    parser.add_argument(
        "--most-spread", type=share, default=0.035, help="of the box, between looks (default %(default)g)"
    )
    parser.add_argument(
        "--least-score", type=share, default=0.4, help="mean confidence of joints (default %(default)g)"
    )
    parser.add_argument("--model", help=".tflite file or SavedModel folder (default: the one that ships)")
    parser.add_argument("--threads", type=positive, default=2, help="of the interpreter (default %(default)s)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Entry point."""
    from tqdm import tqdm

    from hiu_tf.runtime.predictor import Predictor

    args = parse_args(argv)
    target = args.out / f"{args.split}.json"
    if target.exists():
        raise UserError(f"{target} exists: give another --out or --split")
    outcomes, labels = Counter(), []
    pictures = _pictures_of_folder(args) if args.source.is_dir() else _pictures_of_file(args.source, outcomes)
    predictor = Predictor(args.model, args.threads, fit=False)
    try:
        for file, hands in tqdm(pictures, unit=" pictures", disable=None):
            labels += _labels(predictor, file, hands, args, outcomes)
    except KeyboardInterrupt:
        print("interrupted: the labels so far are written", file=sys.stderr)
    print(_left_out(outcomes))
    if not labels:
        raise UserError(f"no hand of {args.source} was labelled")
    _write(target, labels)
    sheet = target.with_name(f"{args.split}_labels.png")
    shown = _draw(labels, sheet)
    print(f"{len(labels)} hands labelled: {target}; look at {sheet} ({shown} of them)")
    print(f"Next: hiu prepare own_data --source {args.out} --split {args.split} --out data/{args.out.name}")
    return 0


def _name(text):
    if not text or Path(text).name != text:
        raise argparse.ArgumentTypeError(f"takes a name without folders, got {text!r}")
    return text


def _pictures_of_folder(args) -> list[tuple[Path, None]]:
    """(picture, None: the detector finds its hands) for all pictures that are not of `--out` or drawn by this package."""
    from hiu_tf.runtime.sources import pictures_of

    out = args.out.resolve()
    found = [file for file in pictures_of(args.source) if file.is_file() and out not in file.resolve().parents]
    if not found:
        raise UserError(f"{args.source} has no pictures beside those of {args.out}")
    return [(file, None) for file in found]


def _pictures_of_file(path, outcomes) -> list[tuple[Path, list[Given]]]:
    """(picture, its hands without key points). What is wrong with an annotation is printed, and the annotation left out."""
    from pipelines.coco import CocoFile

    coco, hands = CocoFile(path, "hiu label"), defaultdict(list)
    for key in coco.keys:
        try:
            annotation = coco.annotation(key)
            file = _file_of(path, coco.image(annotation.get("image_id")))
            reason = (
                "already with key points" if _has_points(annotation) else "a crowd" if annotation.get("iscrowd") else ""
            )
            if reason:
                outcomes[reason] += 1
            else:
                hands[file].append(_given(annotation, f"{path.name}: annotation {key}"))
        except (UserError, ValueError, TypeError, AttributeError) as error:
            outcomes["not as COCO's form wants it"] += 1
            print(f"left out: {path.name}: annotation {key}: {error}", file=sys.stderr)
    return list(hands.items())


def _file_of(path, image):
    """The picture of an annotation, which must not lie outside of the file's folder."""
    if image is None:
        raise UserError("its image_id is not among the images")
    file = path.parent / str(image.get("file_name"))
    if path.parent.resolve() not in file.resolve().parents:
        raise UserError(f"{file} lies outside of {path.parent}")
    return file


def _has_points(annotation):
    points = annotation.get("keypoints") or ()
    return isinstance(points, list) and any(points[2::3])


def _given(annotation, name):
    from pipelines.schema import SIDES, UNKNOWN

    box, side = annotation.get("bbox"), annotation.get("hand_side")
    if not isinstance(box, list) or len(box) != 4:
        raise UserError(f"bbox is {box!r}, expected x, y, width, height")
    if side not in SIDES:
        raise UserError(f"hand_side is {side!r}, expected right, left, unknown or null")
    return Given([float(value) for value in box], None if SIDES[side] == UNKNOWN else side, name)


def _labels(predictor, file, hands, args, outcomes) -> list[Label]:
    """The labels of one picture's hands, without those that label the same hand worse than another."""
    from hiu_tf.codecs.centres import overlap
    from hiu_tf.geometry.window import box_of
    from hiu_tf.pictures import read_picture
    from hiu_tf.runtime.looks import SAME_HAND

    try:
        picture = read_picture(file)
    except (UserError, OSError, ValueError) as error:
        outcomes["in pictures that cannot be read"] += len(hands or [None])
        print(f"left out: {file}: {error}", file=sys.stderr)
        return []
    kept = []
    found = [_label(*one, file, args, outcomes) for one in _predicted(predictor, picture, hands, outcomes)]
    for label in sorted(filter(None, found), key=lambda label: label.annotation["spread"]):
        if any(overlap(box_of(label.joints_2d), box_of(other.joints_2d)) > SAME_HAND for other in kept):
            outcomes["another box of the same hand"] += 1
        else:
            kept.append(label)
    return kept


def _predicted(predictor, picture, hands, outcomes) -> Iterator:
    """(what was given or None, prediction, its agreement) of each hand of a picture."""
    from hiu_tf.runtime.agreement import agreement

    if hands is None:
        for hand in predictor.predict(picture):
            yield None, hand, agreement(predictor, hand)
    for given in hands or ():
        try:
            hand = predictor.predict(picture, _centred(given.box), given.side)[0]
        except UserError as error:
            outcomes["with a box that is none of the picture"] += 1
            print(f"left out: {given.name}: {error}", file=sys.stderr)
            continue
        yield given, hand, agreement(predictor, hand)


def _label(given, hand, found, file, args, outcomes) -> Label | None:
    """The label of a hand, if nothing speaks against it."""
    side = given.side if given and given.side else hand.side if (hand.side_score or 0) >= _SURE_SIDE else None
    reason = _refusal(found, hand.picture, given, args) or ("of unsure side" if side is None else "")
    if reason:
        outcomes[reason] += 1
        return None
    return Label(_annotation(found, hand.picture, given, side), file, found.joints_2d)


def _refusal(found, picture, given, args):
    """Why there is no label; "" if there is one."""
    from hiu_tf.codecs.centres import overlap
    from hiu_tf.geometry.window import box_of

    size = np.array(picture.shape[1::-1]) - 1
    if not found.spread <= args.most_spread:  # also if it is not a number
        return "on which the looks disagree"
    if not found.score >= args.least_score:
        return "with unsure joints"
    if np.any(found.joints_2d < -_MARGIN) or np.any(found.joints_2d > size + _MARGIN):
        return "cut by the picture's edge"
    if given and overlap(box_of(found.joints_2d), _centred(given.box)) < _LEAST_OVERLAP:
        return "found outside of the given box"
    return ""


def _annotation(found, picture, given, side):
    """The new label in COCO's form, without its ids."""
    from hiu_tf.geometry.window import box_of

    points = np.clip(found.joints_2d, 0, np.array(picture.shape[1::-1]) - 1) + _CORNER
    return {
        "category_id": 1,
        "bbox": given.box if given else np.round(box_of(points), 2).tolist(),
        "keypoints": np.round(np.column_stack([points, np.full(len(points), 2.0)]), 2).ravel().tolist(),
        "num_keypoints": len(points),
        "hand_side": side,
        "spread": round(found.spread, 4),
        "score": round(found.score, 4),
    }


def _centred(box):
    x, y, width, height = box
    return x - _CORNER, y - _CORNER, width, height


def _write(target, labels):
    """Copies the labelled pictures to images/SPLIT and writes the file of labels."""
    from hiu_tf.atomic import written_whole

    images, annotations, numbers = [], [], {}
    (target.parent / "images" / target.stem).mkdir(parents=True, exist_ok=True)
    for label in labels:
        if label.file not in numbers:
            numbers[label.file] = len(numbers) + 1
            name = f"images/{target.stem}/{numbers[label.file]:06d}{label.file.suffix.lower()}"
            shutil.copyfile(label.file, target.parent / name)
            images.append({"id": numbers[label.file], "file_name": name})
        annotations.append(label.annotation | {"id": len(annotations) + 1, "image_id": numbers[label.file]})
    category = {"id": 1, "name": "hand"}
    with written_whole(target) as scratch:
        scratch.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))


def _draw(labels, path) -> int:
    """Draws labels, evenly chosen from the smallest spread to the largest. Returns their number."""
    from hiu_tf.atomic import written_whole
    from hiu_tf.geometry.window import around_box, box_of
    from hiu_tf.pictures import encode_png, read_picture
    from hiu_tf.programs._sheet import tiles
    from hiu_tf.runtime.crop import cut
    from hiu_tf.runtime.draw import draw_skeleton

    ordered = sorted(labels, key=lambda label: label.annotation["spread"])
    drawn = []
    for k in np.unique(np.linspace(0, len(ordered) - 1, _SHOWN).astype(int)):
        window = around_box(box_of(ordered[k].joints_2d), _TILE)
        tile = (255 * cut(read_picture(ordered[k].file), window)).astype(np.uint8)
        drawn.append(draw_skeleton(tile, window.to_crop(ordered[k].joints_2d)))
    with written_whole(path) as scratch:
        scratch.write_bytes(encode_png(tiles(drawn, columns=8)))
    return len(drawn)


def _left_out(outcomes):
    """How many hands were left out, and why."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in outcomes.most_common() if count)
    return f"left out: {reasons or 'none'}"


if __name__ == "__main__":
    sys.exit(program(main))
