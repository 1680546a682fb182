"""Runs a small example of everything: makes data, trains, evaluates, exports, predicts, and shows the result.

    hiu demo                                           # rendered hands alone; `make demo` sets everything up first
    hiu demo --real photographs/ --photos pictures/    # REAL=... PHOTOS=... make demo

--real is a folder with train.json and val.json (COCO key points), or with several such folders in it: half of
the training. --photos is a folder of pictures and clips to predict on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import pipelines
from hiu_tf.commands.values import positive
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program

RENDERED_TRAIN, RENDERED_VAL, HELD_OUT = 2400, 160, 12
STEPS = 1100
_TILE, _HEADING = 150, 40  # height of a row and of the heading of the contact sheet, pixels
_RENDERED = "rendered_"
RECIPE = Path(pipelines.__file__).parent / "recipes" / "quickstart.yaml"


def real_sets(folder: Path) -> dict[str, Path]:
    """{name: folder} of the sets of photographs in a folder, which may be one itself.

    Raises:
      UserError: there is none.
    """
    lists = [folder / "train.json", *sorted(folder.glob("*/train.json"))]
    found = {path.resolve().parent.name: path.parent for path in lists if path.is_file()}
    if not found:
        raise UserError(
            f"--real {folder}: there is no train.json, nor one in a folder below (COCO key points, "
            "pipelines/datasets/own_data/README.md)"
        )
    return found


def make_data(root: Path, real: dict[str, Path]) -> list[str]:
    """Writes the records. Returns the names of the sets that have a split val."""
    from hiu_tf.programs.prepare import prepare

    for split, count in (("train", RENDERED_TRAIN), ("val", RENDERED_VAL)):
        prepare("synthetic", str(count), split, str(root / "synthetic"), parts=8, workers=2)
    for name, folder in real.items():
        for split in ("train", "val"):
            if (folder / f"{split}.json").is_file():
                prepare("own_data", str(folder), split, str(root / name), parts=2, workers=2)
    return ["synthetic", *(name for name, folder in real.items() if (folder / "val.json").is_file())]


def train_network(root: Path, run: Path, real: Collection[str], steps: int):
    """Trains on rendered hands, and on as many of the real sets. Returns the run."""
    from hiu_tf.config.load import load_recipe
    from hiu_tf.config.presets import model_config
    from hiu_tf.config.schema import DataConfig
    from hiu_tf.training.distribution import strategy
    from hiu_tf.training.run import train
    from pipelines.build import finish, training_data

    recipe = load_recipe(RECIPE, [f"train.steps={steps}", "train.steps_per_epoch=100"])
    sets = {name: DataConfig(path=name, share=1 / len(real)) for name in real}
    recipe = replace(recipe, data=recipe.data | sets)
    with strategy().scope():
        size = model_config(recipe.model, recipe.network).image_size
        data = lambda start, *worker: training_data(recipe, root, size, start, *worker)
        return train(recipe, data, run, finish=partial(finish, recipe=recipe, size=size))


def write_held_out(root: Path, folder: Path) -> None:
    """Writes some rendered pictures that are not in the training data, as JPEG files."""
    import tensorflow as tf

    from pipelines.records import parse, read_index

    folder.mkdir(parents=True, exist_ok=True)
    shards, _ = read_index(root / "synthetic", "val")
    records = parse(next(iter(tf.data.TFRecordDataset(shards).batch(HELD_OUT))))
    for number, image in enumerate(records["image"].numpy()):
        (folder / f"{_RENDERED}{number:02d}.jpg").write_bytes(image)


def contact_sheet(predictions: dict[str, Path], target: Path) -> None:
    """Draws a column for each folder of predictions, and a row for each picture (or the middle frame of a clip).

    Args:
      predictions: heading of the column -> folder that `hiu predict` wrote.
      target: PNG file.
    """
    import cv2
    import numpy as np

    results = {heading: {path.name: _tile(path) for path in _overlays(folder)} for heading, folder in predictions.items()}  # fmt: skip
    names = list(dict.fromkeys(name for tiles in results.values() for name in tiles))
    widest = max(tile.shape[1] for tiles in results.values() for tile in tiles.values())
    columns = []
    for heading, tiles in results.items():
        top = np.full((_HEADING, widest, 3), 255, np.uint8)
        cv2.putText(top, heading, (8, _HEADING - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
        none = np.full((_TILE, widest, 3), 60, np.uint8)
        cv2.putText(none, "no hand detected", (8, _TILE // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)  # fmt: skip
        rows = [top, *(_padded(tiles.get(name, none), widest) for name in names)]
        columns.append(cv2.copyMakeBorder(np.vstack(rows), 0, 2, 4, 4, cv2.BORDER_CONSTANT, value=(255, 255, 255)))
    cv2.imwrite(str(target), np.hstack(columns))


def _overlays(folder):
    """Results of rendered pictures first, those of the user's last."""
    return sorted([*folder.glob("*.png"), *folder.glob("*.mp4")], key=lambda p: (not p.name.startswith(_RENDERED), p.name))  # fmt: skip


def _tile(path):
    import cv2

    if path.suffix == ".mp4":
        reader = cv2.VideoCapture(str(path))
        reader.set(cv2.CAP_PROP_POS_FRAMES, reader.get(cv2.CAP_PROP_FRAME_COUNT) // 2)
        picture = reader.read()[1]
    else:
        picture = cv2.imread(str(path))
    width = max(1, picture.shape[1] * _TILE // picture.shape[0])
    return cv2.resize(picture, (width, _TILE), interpolation=cv2.INTER_AREA)


def _padded(tile, width):
    import cv2

    return cv2.copyMakeBorder(tile, 0, 0, 0, width - tile.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255))


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="demo", help="folder for everything (default: demo)")
    parser.add_argument("--real", help="folder of photographs with COCO key points, or of such folders")
    parser.add_argument("--photos", help="folder of pictures and clips to predict on")
    parser.add_argument("--steps", type=positive, default=STEPS, help=f"training steps (default {STEPS})")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from hiu_tf.cli import main as hiu
    from hiu_tf.evaluation.summary import as_json, markdown
    from hiu_tf.exporting.run import export
    from hiu_tf.programs._measure import Part
    from hiu_tf.programs.evaluate import evaluate_run
    from hiu_tf.runtime.results import write_json

    out, start = Path(args.out), time.time()
    root, real = out / "data", real_sets(Path(args.real)) if args.real else {}
    if args.photos and not Path(args.photos).exists():
        raise UserError(f"--photos {args.photos} does not exist")

    def stage(number, text):
        print(f"\n[{number}/5 {time.time() - start:4.0f} s] {text}", flush=True)

    stage(
        1,
        f"data: {RENDERED_TRAIN + RENDERED_VAL} rendered hands"
        + (f" and the photographs of {', '.join(real)}" if real else ""),
    )
    names = make_data(root, real)
    stage(2, f"training: {args.steps} steps")
    trained = train_network(root, out / "run", real, args.steps)
    stage(3, "evaluation beside two baselines")
    results = evaluate_run(trained, Part(str(root), names, limit=160))
    write_json(out / "metrics.json", as_json(results, "make demo"))
    stage(4, "export: SavedModel, TFLite float32 and float16")
    note = f"Trained by `make demo`: {args.steps} steps, a few minutes on two CPU cores."
    export(trained, out / "model", ("float32", "float16"), metrics={"results": results}, training=note)
    stage(5, "predictions")
    write_held_out(root, out / "pictures")
    inputs = [str(out / "pictures"), *([args.photos] if args.photos else [])]
    trained_file = out / "model" / f"{trained.preset}_float16.tflite"
    columns = {
        f"trained here: {args.steps} steps from random weights": ("predictions", ["--model", str(trained_file)]),
        "hiu_mobile, which ships": ("predictions_shipped", []),
    }
    codes = [hiu(["predict", *inputs, "--out", str(out / name), *options]) for name, options in columns.values()]
    contact_sheet({heading: out / name for heading, (name, _) in columns.items()}, out / "sheet.png")
    print("\n" + markdown(results))
    print(
        f"\ndone in {time.time() - start:.0f} s. Look at {out / 'sheet.png'}; then try\n  .venv/bin/hiu predict YOUR_PICTURE.jpg --out predictions\n"
        f"  .venv/bin/tensorboard --logdir {out / 'run'}\n  .venv/bin/hiu train --help"
    )
    return max(codes)


if __name__ == "__main__":
    sys.exit(program(main))
