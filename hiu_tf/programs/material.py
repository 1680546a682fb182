"""Makes all records that pipelines/recipes/hiu_mobile.yaml names, from folders of your photographs.

    hiu material photos/ --out data
    hiu material photos/ --out data --backdrops wallpapers/ --extend-tips 0.35 --rendered 20000

Each folder below the first one that has a train.json (COCO key points: pipelines/datasets/own_data/README.md) becomes
the records data/NAME, and with the hand model fitted to its hands, masks predicted where there are none, data/fitted/NAME.
Hands are rendered in the fitted poses (data/synthetic_real), and windows without a hand are cut out beside the hands
(data/no_hand) and from the pictures of --backdrops, none of which may show a hand (data/backdrops).

Records that exist are kept: the same command goes on after an interruption. A recipe then names the sets that there are
(start with a copy of hiu_mobile.yaml):

    hiu train --recipe my_recipe.yaml --data data --out runs/mine
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from hiu_tf.commands.values import positive, share
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program

_SPLITS = ("train", "val")
#: Windows of each photograph and of each backdrop, drawn scenes, and rendered hands of each one for validation.
_WINDOWS, _OF_BACKDROPS, _DRAWN, _A_RENDERED_VAL = 4, 8, {"train": 500, "val": 100}, 50


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="hiu material", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of folders of photographs with key points")
    parser.add_argument("--out", type=Path, required=True, help="folder for the records")
    parser.add_argument("--backdrops", type=Path, help="folder of pictures without any hand, such as wallpapers")
    parser.add_argument(
        "--rendered", type=positive, default=20000, help="number of rendered hands (default %(default)s)"
    )
    parser.add_argument(
        "--extend-tips", type=share, default=0.0, help="of the last bone; 0.35 for labels of MediaPipe (default 0)"
    )
    parser.add_argument(
        "--hands-without-label",
        default="",
        metavar="NAMES",
        help="comma-separated folders with hands that have neither key points nor a box: no windows are cut out there",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Entry point."""
    args = parse_args(argv)
    from hiu_tf.programs import fit_hands, prepare
    from pipelines.records import has_split

    programs = {"prepare": prepare.main, "fit": fit_hands.main}
    for folder, split, (name, *arguments) in steps(args):
        if has_split(folder, split):
            continue
        words = [str(argument) for argument in arguments]
        print(f"== hiu {name} {' '.join(words)}", flush=True)
        programs[name](words)
    print(f"All records are in {args.out}. Next: hiu train --recipe RECIPE --data {args.out} --out RUN")
    return 0


def steps(args) -> Iterator[tuple[Path, str, list]]:
    """(folder, split, command that writes this split of records there), in order.

    Raises:
      UserError: there are no photographs, or a folder is not there.
    """
    from pipelines.records import has_split

    sets = sorted(path.parent for path in args.source.glob("*/train.json"))
    if not sets:
        raise UserError(f"{args.source} has no folder with a train.json (pipelines/datasets/own_data/README.md)")
    unlabelled = set(filter(None, args.hands_without_label.split(",")))
    if unknown := unlabelled - {folder.name for folder in sets}:
        raise UserError(f"--hands-without-label: {args.source} has no folder {', '.join(sorted(unknown))}")
    out, option = args.out, lambda name, value: ["--option", f"{name}={value}"]
    prepare = lambda kind, source, split, folder, *more: (
        (folder, split, ["prepare", kind, "--source", source, "--split", split, "--out", folder, *more])
    )
    for source in sets:
        for split in _SPLITS:
            if (source / f"{split}.json").is_file():
                yield prepare("own_data", source, split, out / source.name, *option("extend_tips", args.extend_tips))
        fitted = out / "fitted" / source.name
        yield fitted, "train", ["fit", out / source.name, "--split", "train", "--out", fitted, "--predict-masks"]
    poses = option("poses", out / "fitted")
    for split, count in (("val", -(-args.rendered // _A_RENDERED_VAL)), ("train", args.rendered)):
        yield prepare("synthetic", count, split, out / "synthetic_real", *poses)
    for split in _SPLITS:
        folders = [s for s in sets if s.name not in unlabelled and (s / f"{split}.json").is_file()]
        windows = (*option("windows", _WINDOWS), *option("drawn", _DRAWN[split]))
        yield prepare("no_hand", ",".join(map(str, folders)) or "none", split, out / "no_hand", *windows)
    if args.backdrops and not has_split(out / "backdrops", "train"):  # else all pictures would be read to be listed
        listed = _listed(args.backdrops, out / "backdrops" / "pictures")
        yield prepare("no_hand", listed, "train", out / "backdrops", *option("windows", _OF_BACKDROPS))


def _listed(folder, out):
    """Writes the list of a folder's pictures, none of which has a hand, as the reader of no_hand takes it; returns `out`."""
    from hiu_tf.pictures import read_picture
    from hiu_tf.runtime.sources import pictures_of

    images = []
    for number, file in enumerate(sorted(map(Path, pictures_of(folder)))):
        height, width = read_picture(file).shape[:2]
        images.append({"id": number, "file_name": str(file.resolve()), "width": width, "height": height})
    if not images:
        raise UserError(f"{folder} has no pictures")
    out.mkdir(parents=True, exist_ok=True)
    (out / "train.json").write_text(json.dumps({"images": images, "annotations": []}))
    return out


if __name__ == "__main__":
    sys.exit(program(main))
