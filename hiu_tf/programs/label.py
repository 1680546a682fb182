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
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hiu_tf.commands.values import positive, share
from hiu_tf.conventions.coco import CORNER, own_box
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program

#: A label's box must share this much (intersection over union) with the box that was given.
_LEAST_OVERLAP = 0.5
#: Pixels by which a joint may lie outside of its picture.
_MARGIN = 2.0
#: A side that was not given must have this probability at least.
_SURE_SIDE = 0.9
_SHOWN = 48


class Omissions:
    """Counts the hands that get no label, by reason, and prints at once what is wrong in the source."""

    def __init__(self):
        self._counts = Counter()

    def note(self, reason: str, message: str = "", hands: int = 1) -> None:
        """Counts hands that get no label, for a reason; the message says what is wrong, if something is."""
        self._counts[reason] += hands
        if message:
            print(f"left out: {message}", file=sys.stderr)

    def __str__(self):
        reasons = ", ".join(f"{count} {reason}" for reason, count in self._counts.most_common())
        return f"left out: {reasons or 'none'}"


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

    from hiu_tf.programs._sheet import write_labels
    from hiu_tf.runtime.predictor import Predictor

    args = parse_args(argv)
    target = args.out / f"{args.split}.json"
    _refuse_taken(target)
    omitted, labels = Omissions(), []
    pictures = _pictures(args, omitted)
    predictor = Predictor(args.model, args.threads, fit=False)
    try:
        for file, hands in tqdm(pictures, unit=" pictures", disable=None):
            labels += _labels(predictor, file, hands, args, omitted)
    except KeyboardInterrupt:
        print("interrupted: the labels so far are written", file=sys.stderr)
    print(omitted)
    if not labels:
        raise UserError(f"no hand of {args.source} was labelled")
    _write(target, labels)
    sheet = target.with_name(f"{args.split}_labels.png")
    shown = _spread_evenly(labels, _SHOWN)
    write_labels([(label.file, label.joints_2d) for label in shown], sheet)
    print(f"{len(labels)} hands labelled: {target}; look at {sheet} ({len(shown)} of them)")
    print(f"Next: hiu prepare own_data --source {args.out} --split {args.split} --out data/{args.out.name}")
    return 0


def _name(text):
    if not text or Path(text).name != text:
        raise argparse.ArgumentTypeError(f"takes a name without folders, got {text!r}")
    return text


def _pictures(args, omitted) -> list[tuple[Path, list | None]]:
    """(picture, its hands without key points; None: the detector finds them). Leaves out what this package has drawn."""
    from hiu_tf.runtime.sources import pictures_of
    from pipelines.unlabelled import unlabelled_hands

    if not args.source.is_dir():
        return list(unlabelled_hands(args.source, omitted.note).items())
    out = args.out.resolve()
    found = [file for file in pictures_of(args.source) if file.is_file() and out not in file.resolve().parents]
    if not found:
        raise UserError(f"{args.source} has no pictures beside those of {args.out}")
    return [(file, None) for file in found]


def _labels(predictor, file, hands, args, omitted) -> list[Label]:
    """The labels of one picture's hands, without those that label the same hand worse than another."""
    from hiu_tf.codecs.centres import overlap
    from hiu_tf.geometry.window import box_of
    from hiu_tf.pictures import read_picture
    from hiu_tf.runtime.looks import SAME_HAND

    try:
        picture = read_picture(file)
    except (UserError, OSError, ValueError) as error:
        omitted.note("in pictures that cannot be read", f"{file}: {error}", hands=len(hands or [None]))
        return []
    kept = []
    found = [_label(*one, file, args, omitted) for one in _predicted(predictor, picture, hands, omitted)]
    for label in sorted(filter(None, found), key=lambda label: label.annotation["spread"]):
        if any(overlap(box_of(label.joints_2d), box_of(other.joints_2d)) > SAME_HAND for other in kept):
            omitted.note("another box of the same hand")
        else:
            kept.append(label)
    return kept


def _predicted(predictor, picture, hands, omitted) -> Iterator:
    """(what was given or None, prediction, its agreement) of each hand of a picture."""
    from hiu_tf.runtime.agreement import agreement

    if hands is None:
        for hand in predictor.predict(picture):
            yield None, hand, agreement(predictor, hand)
    for given in hands or ():
        try:
            hand = predictor.predict(picture, own_box(given.box), given.side)[0]
        except UserError as error:
            omitted.note("with a box that is none of the picture", f"{given.name}: {error}")
            continue
        yield given, hand, agreement(predictor, hand)


def _label(given, hand, found, file, args, omitted) -> Label | None:
    """The label of a hand, if nothing speaks against it."""
    side = given.side if given and given.side else hand.side if (hand.side_score or 0) >= _SURE_SIDE else None
    reason = _refusal(found, hand.picture, given, args) or ("of unsure side" if side is None else "")
    if reason:
        omitted.note(reason)
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
    if given and overlap(box_of(found.joints_2d), own_box(given.box)) < _LEAST_OVERLAP:
        return "found outside of the given box"
    return ""


def _annotation(found, picture, given, side):
    """The new label in COCO's form, without its ids."""
    from hiu_tf.geometry.window import box_of

    points = np.clip(found.joints_2d, 0, np.array(picture.shape[1::-1]) - 1) + CORNER
    return {
        "category_id": 1,
        "bbox": given.box if given else np.round(box_of(points), 2).tolist(),
        "keypoints": np.round(np.column_stack([points, np.full(len(points), 2.0)]), 2).ravel().tolist(),
        "num_keypoints": len(points),
        "hand_side": side,
        "spread": round(found.spread, 4),
        "score": round(found.score, 4),
    }


def _copies(target):
    """Folder of the copies of the labelled pictures."""
    return target.parent / "images" / target.stem


def _refuse_taken(target):
    """Raises UserError if the results cannot be written, or would replace somebody's files."""
    copies = _copies(target)
    for folder in (copies, *copies.parents):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file: --out is the folder for the labels")
    if target.exists() or (copies.is_dir() and any(copies.iterdir())):
        taken = target if target.exists() else copies
        raise UserError(f"{taken} exists, and nothing is replaced: give another --out or --split")


def _write(target, labels):
    """Copies the labelled pictures to images/SPLIT and writes the file of labels."""
    from hiu_tf.atomic import written_whole
    from hiu_tf.pictures import upright_size

    images, annotations, numbers = [], [], {}
    _copies(target).mkdir(parents=True, exist_ok=True)
    for label in labels:
        if label.file not in numbers:
            numbers[label.file] = len(numbers) + 1
            name = f"images/{target.stem}/{numbers[label.file]:06d}{label.file.suffix.lower()}"
            shutil.copyfile(label.file, target.parent / name)
            width, height = upright_size(label.file)
            images.append({"id": numbers[label.file], "file_name": name, "width": width, "height": height})
        annotations.append(label.annotation | {"id": len(annotations) + 1, "image_id": numbers[label.file]})
    category = {"id": 1, "name": "hand"}
    with written_whole(target) as scratch:
        scratch.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))


def _spread_evenly(labels, count):
    """Labels from the smallest spread to the largest, evenly chosen."""
    ordered = sorted(labels, key=lambda label: label.annotation["spread"])
    return [ordered[k] for k in np.unique(np.linspace(0, len(ordered) - 1, count).astype(int))]


if __name__ == "__main__":
    sys.exit(program(main))
