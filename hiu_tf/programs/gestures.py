"""Compares the gestures of `hiu predict` with labels: a confusion table.

    hiu gestures photos/val.json --field digit --names "1=point,2=victory,4=four,5=open,9=ok"

The labels are a field of the annotations, or of the images, of a file in the format of own_data
(pipelines/datasets/own_data/README.md). --names says which gesture each value means; a value that is not named means
none of the gestures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from hiu_tf.commands.values import positive, target
from hiu_tf.conventions.coco import own_box
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program
from hiu_tf.tables import markdown_table

_NONE = "-"


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="hiu gestures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", help="JSON file with boxes; pictures are beside it")
    parser.add_argument("--field", required=True, help="of an annotation or image, that holds the label")
    parser.add_argument("--names", required=True, help="VALUE=GESTURE, separated by commas")
    parser.add_argument("--model", help=".tflite file or SavedModel folder (default: the one that ships)")
    parser.add_argument("--threads", type=positive, default=1, help="of the interpreter (default 1)")
    parser.add_argument("--json", type=target, help="write the label and the gesture of each hand there")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Entry point."""
    from tqdm import tqdm

    from hiu_tf.runtime.predictor import Predictor
    from hiu_tf.runtime.results import write_json

    args = parse_args(argv)
    path, names = Path(args.annotations), _names(args.names)
    hands = _labelled(path, args.field)
    _tell_unused(args.field, names, {value for *_, value in hands})
    predictor, rows = Predictor(args.model, args.threads), []
    for file, box, side, value in tqdm(hands, unit="hand", disable=None):
        hand = predictor.predict(path.parent / file, box=box, side=side)[0]
        rows.append({"picture": file, "labelled": names.get(value), "found": hand.gesture})
    print(confusion_table([(row["labelled"], row["found"]) for row in rows]))
    if args.json:
        write_json(args.json, {"command": " ".join(sys.argv), "rows": rows})
    return 0


def confusion_table(pairs: list[tuple[str | None, str | None]]) -> str:
    """Formats (labelled, found) gestures as a table: a row for each label, with the share that is right."""
    found = defaultdict(Counter)
    for label, name in pairs:
        found[label or _NONE][name or _NONE] += 1
    rows = []
    for label in sorted(found):
        total = sum(found[label].values())
        wrong = ", ".join(f"{name} {count}" for name, count in found[label].most_common() if name != label)
        rows.append([label, total, _share(found[label][label], total), wrong])
    right = sum(found[label][label] for label in found)
    rows.append(["all", len(pairs), _share(right, len(pairs)), ""])
    return markdown_table(("labelled", "hands", "right", "taken for"), rows)


def _share(count, total):
    return f"{count / total:.2f}".lstrip("0") if count < total else "1.00"


def _names(text):
    from hiu_tf.runtime.gestures import NAMES

    names = {}
    for part in text.split(","):
        value, equal, name = (piece.strip() for piece in part.partition("="))
        if not (value and equal and name):
            raise UserError(f"--names takes VALUE=GESTURE with commas between them, got {part!r}")
        if name not in NAMES:
            raise UserError(f"--names: there is no gesture {name!r}; there are {', '.join(sorted(NAMES))}")
        if value in names:
            raise UserError(f"--names: {value} is {names[value]} and {name}; a value means one gesture")
        names[value] = name
    return names


def _tell_unused(field, names, values):
    """Names values that no hand has: of a misspelt one all hands would count as having no gesture."""
    unused = sorted(set(names) - values)
    if unused:
        print(f"no hand's {field} is {', '.join(unused)}; there are {', '.join(sorted(values))}", file=sys.stderr)


def _labelled(path, field):
    """[(picture, box, side or None, label as text)] of a file of annotations."""
    try:
        content = json.loads(path.read_text())
        images = {image["id"]: image for image in content["images"]}
        hands = []
        for one in content["annotations"]:
            image = images[one["image_id"]]
            value = one.get(field, image.get(field))
            side = one.get("hand_side") if one.get("hand_side") in ("left", "right") else None
            if value is not None:
                hands.append((image["file_name"], own_box(one["bbox"]), side, str(value)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no file of annotations in COCO's form: {error!r}") from error
    if not hands:
        raise UserError(f"{path}: no annotation or image has the field {field!r}")
    return hands


if __name__ == "__main__":
    sys.exit(program(main))
