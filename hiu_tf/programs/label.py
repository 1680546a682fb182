"""Labels hands with the key points that a model predicts, where several looks at a hand agree.

    hiu label photos/ --out labelled
    hiu label boxes/train.json --out labelled
    hiu prepare own_data --source labelled --split train --out data/labelled

The source is a folder of pictures, whose hands the detector finds, or a file of annotations in COCO's form with the
boxes of hands (`bbox`, `hand_side` where known). Annotations that have key points already are kept as they are. Each
other hand is predicted through six windows that differ in angle, size and place. It gets their median as key points,
with `spread` and `score`, if the windows agree, the joints are sure, inside the picture, and lie in the given box;
otherwise it is left out. The result is a folder as `hiu prepare own_data` reads it, with labels.png: new labels, those
with the largest spread last. Look at it: labels that agree can be wrong together.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hiu_tf.commands.values import positive
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program

#: A label's box must share this much (intersection over union) with the box that was given.
_LEAST_OVERLAP = 0.5
#: Pixels by which a joint may lie outside of its picture.
_MARGIN = 2.0
#: A side that the model tells is written only if its probability is above this number.
_SURE_SIDE = 0.9
#: COCO's origin is the corner of the first pixel, ours its centre.
_CORNER = 0.5
_SHOWN, _TILE = 48, 160


class New(NamedTuple):
    """A new label: the annotation, and what draws it."""

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
    parser.add_argument("--split", default="train", help="name of the file of labels (default: %(default)s)")
    parser.add_argument(
        "--most-spread", type=float, default=0.035, help="of the box, between looks (default %(default)g)"
    )
    parser.add_argument(
        "--least-score", type=float, default=0.4, help="mean confidence of the joints (default %(default)g)"
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
    pictures = _pictures(args.source)
    target = args.out / f"{args.split}.json"
    if target.exists():
        raise UserError(f"{target} exists: give another --out or --split")
    predictor, images, annotations, drawn, outcomes = (
        Predictor(args.model, args.threads, fit=False),
        [],
        [],
        [],
        Counter(),
    )
    for number, (file, hands) in enumerate(tqdm(pictures, unit=" pictures", disable=None), start=1):
        found = list(_labels(predictor, file, hands, args, outcomes))
        if not found:
            continue
        name = f"images/{number:06d}_{file.name}"
        (args.out / "images").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, args.out / name)
        images.append({"id": number, "file_name": name})
        for one in found:
            own = one.annotation if isinstance(one, New) else one
            annotations.append(own | {"id": len(annotations) + 1, "image_id": number})
        drawn += [one for one in found if isinstance(one, New)]
    _write(target, images, annotations)
    if drawn:
        _draw(drawn, args.out / "labels.png")
    print(_summary(outcomes, target))
    return 0


def _pictures(source):
    """[(picture's file, its annotations; None: the detector finds its hands)]."""
    from hiu_tf.pictures import PICTURES

    if source.is_dir():
        files = sorted(file for file in source.rglob("*") if file.suffix.lower() in PICTURES)
        if not files:
            raise UserError(f"{source} has no pictures ({', '.join(PICTURES)})")
        return [(file, None) for file in files]
    try:
        content = json.loads(source.read_text())
        files = {image["id"]: (source.parent / image["file_name"], []) for image in content["images"]}
        for hand in content["annotations"]:
            if len(hand["bbox"]) != 4:
                raise ValueError(f"bbox of annotation {hand.get('id')} is {hand['bbox']!r}")
            files[hand["image_id"]][1].append(hand)
    except OSError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{source} is no file of annotations in COCO's form: {error!r}") from error
    return list(files.values())


def _labels(predictor, file, hands, args, outcomes):
    """Yields the annotations of one picture: those that have key points, and a `New` for each hand that gets them."""
    from hiu_tf.pictures import read_picture
    from hiu_tf.runtime.agreement import agreement

    labelled = [hand for hand in hands or () if any((hand.get("keypoints") or ())[2::3])]
    outcomes["kept as they were"] += len(labelled)
    yield from labelled
    others = [hand for hand in hands or () if hand not in labelled]
    if hands is not None and not others:
        return
    try:
        picture = read_picture(file)
    except UserError as error:
        outcomes["picture cannot be read"] += 1
        print(f"left out: {file}: {error}", file=sys.stderr)
        return
    for given, hand in _predicted(predictor, picture, hands, others):
        found = agreement(predictor, hand)
        refused = _refusal(found, hand.picture, given, args)
        outcomes[refused or "labelled"] += 1
        if not refused:
            yield New(_annotation(found, hand, given), file, found.joints_2d)


def _predicted(predictor, picture, hands, others):
    """(annotation or None, prediction) of each hand of a picture."""
    if hands is None:
        return [(None, hand) for hand in predictor.predict(picture)]
    side = lambda given: given.get("hand_side") if given.get("hand_side") in ("left", "right") else None
    return [(given, predictor.predict(picture, _centred(given["bbox"]), side(given))[0]) for given in others]


def _refusal(found, picture, given, args):
    """Why there is no label; "" if there is one."""
    from hiu_tf.codecs.centres import overlap
    from hiu_tf.geometry.window import box_of

    size = np.array(picture.shape[1::-1]) - 1
    if found.spread > args.most_spread:
        return "looks disagree"
    if found.score < args.least_score:
        return "joints unsure"
    if np.any(found.joints_2d < -_MARGIN) or np.any(found.joints_2d > size + _MARGIN):
        return "cut by the picture's edge"
    if given is not None and overlap(box_of(found.joints_2d), _centred(given["bbox"])) < _LEAST_OVERLAP:
        return "outside of the given box"
    return ""


def _annotation(found, hand, given):
    """The new label in COCO's form; box and side are the given ones where there are any."""
    from hiu_tf.geometry.window import box_of

    size = np.array(hand.picture.shape[1::-1]) - 1
    points = np.clip(found.joints_2d, 0, size) + _CORNER
    left, top, width, height = box_of(points)
    told = hand.side if (hand.side_score or 0) > _SURE_SIDE else None
    return {
        "category_id": 1,
        "bbox": given["bbox"] if given else np.round([left, top, width, height], 2).tolist(),
        "keypoints": np.round(np.column_stack([points, np.full(len(points), 2.0)]), 2).ravel().tolist(),
        "num_keypoints": len(points),
        "hand_side": (given or {}).get("hand_side") or told,
        "spread": round(found.spread, 4),
        "score": round(found.score, 4),
    }


def _centred(box):
    x, y, width, height = box
    return x - _CORNER, y - _CORNER, width, height


def _write(path, images, annotations):
    from hiu_tf.atomic import written_whole

    path.parent.mkdir(parents=True, exist_ok=True)
    category = {"id": 1, "name": "hand"}
    with written_whole(path) as scratch:
        scratch.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))


def _draw(labels, path):
    """Draws new labels, from the smallest spread to the largest."""
    from hiu_tf.atomic import written_whole
    from hiu_tf.geometry.window import around_box, box_of
    from hiu_tf.pictures import encode_png, read_picture
    from hiu_tf.programs._sheet import tiles
    from hiu_tf.runtime.crop import cut
    from hiu_tf.runtime.draw import draw_skeleton

    ordered = sorted(labels, key=lambda label: label.annotation["spread"])
    shown = [ordered[k] for k in np.unique(np.linspace(0, len(ordered) - 1, _SHOWN).astype(int))]
    drawn = []
    for label in shown:
        window = around_box(box_of(label.joints_2d), _TILE)
        tile = (255 * cut(read_picture(label.file), window)).astype(np.uint8)
        drawn.append(draw_skeleton(tile, window.to_crop(label.joints_2d)))
    with written_whole(path) as scratch:
        scratch.write_bytes(encode_png(tiles(drawn, columns=8)))


def _summary(outcomes, target):
    """How many hands were labelled, and why others were not."""
    labelled, kept = outcomes.pop("labelled", 0), outcomes.pop("kept as they were", 0)
    refused = ", ".join(f"{count} {reason}" for reason, count in outcomes.most_common() if count)
    lines = [f"{labelled} hands labelled, {kept} kept as they were" + (f"; left out: {refused}" if refused else "")]
    lines += [f"{target}; look at {target.parent / 'labels.png'}"] if labelled else [str(target)]
    lines.append(
        f"Next: hiu prepare own_data --source {target.parent} --split {target.stem} --out data/{target.parent.name}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(program(main))
