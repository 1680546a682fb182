"""Exports a trained network: SavedModel (TF Serving layout) and TFLite files, each held against the network.

    python tools/export.py --run runs/first --out savedmodels/mine
    python tools/export.py --run runs/first --out savedmodels/mine --metrics metrics.json --data data --sets synthetic,digits
    python tools/export.py --run runs/first --out savedmodels/mine --precisions float16
    python tools/export.py --run runs/first --out savedmodels/mine --serving serving

TFLite files: float32; float16 (half the size, the one that `hiu predict` takes); dynamic and int8 (a quarter). int8
measures its ranges on training pictures of --data, or on rendered ones. Every file is compared with the network over
held-out pictures; one that differs by more than its precision may is not published, and the program fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from hiu_tf.conventions import SERVER_MODEL
from hiu_tf.errors import UserError
from tools._program import names, positive, program

_CALIBRATION, _BATCH = 128, 16
SAVED = "SavedModel"


def export_run(
    run, out: Path, metrics: dict | None, training: str, precisions, examples, min_score: float = 0.0, **options
) -> list[Path]:
    """Writes all artefacts of a `training.folder.Run` and their cards; returns their paths.

    Args:
      precisions: of the TFLite files.
      examples: (split, count) -> labelled batches, for ranges and for parity, or None for no parity.
      min_score: what a hand must score to be one, for the card.
      options: of `export.tflite.export_tflite`: batch, mask.

    Raises:
      UserError: a file differs too much from the network and was left out; nothing is published if that is the SavedModel.
    """
    from hiu_tf.atomic import clear_leftovers, scratch_folder
    from hiu_tf.conventions import keys
    from hiu_tf.evaluation.report import markdown
    from hiu_tf.export.card import card_text, model_card, write_card
    from hiu_tf.export.module import HIUModule
    from hiu_tf.export.parity import beyond_limits, parity_table
    from hiu_tf.export.saved_model import export_saved_model, next_version
    from hiu_tf.export.tflite import export_tflite
    from hiu_tf.runtime.results import write_text

    module = HIUModule(run.network, run.hand)
    results = (metrics or {}).get("results")
    card = model_card(run.preset, module.size, module.hand, results, min_score)
    crops = np.concatenate([b[keys.IMAGE] for b in examples("train", _CALIBRATION)]) if "int8" in precisions else None
    out.mkdir(parents=True, exist_ok=True)
    clear_leftovers(out)
    # A server may be watching the folder: nothing is in its place before all of it is good.
    with scratch_folder(out) as scratch:
        made = {SAVED: export_saved_model(module, scratch, card)}
        for precision in precisions:
            made[precision] = scratch / f"{run.preset}_{precision}.tflite"
            print(f"converting {made[precision].name} ...", flush=True)
            export_tflite(module, made[precision], precision, crops, card, **options)
        found = _held_against(run, made, examples, module.size) if examples else {}
        wrong = beyond_limits(found)
        why = "; ".join(f"{name}: {text}" for name, text in wrong.items())
        if SAVED in wrong:
            raise UserError(f"nothing is published, for the SavedModel differs too much from the network: {why}")
        good = {name: path for name, path in made.items() if name not in wrong}
        paths = [next_version(out) if name == SAVED else out / path.name for name, path in good.items()]
        for path, target in zip(good.values(), paths):
            path.replace(target)
    write_card(out, card)
    sizes = {path.name: path.stat().st_size for path in paths[1:]}
    tables = [markdown(results) if results else "", parity_table(found) if found else ""]
    write_text(out / "card.md", card_text(card, sizes, tables, training))
    if wrong:
        raise UserError(f"{out} is complete but for what differs too much from the network: {why}")
    return paths


def _held_against(run, made, examples, size):
    """Parity of everything that was made with the network."""
    from hiu_tf.evaluation.predictors import exported_predictor, network_predictor
    from hiu_tf.export.parity import parity, parity_table

    print("comparing with the network ...", flush=True)
    candidates = {name: exported_predictor(str(path))[0] for name, path in made.items()}
    found = parity(network_predictor(run.network, run.hand), candidates, examples("val", None), size)
    print(parity_table(found))
    return found


@contextmanager
def example_source(size: int, data: str | None, sets: list[str], pictures: int):
    """(split, count) -> labelled batches of --data's sets, or of pictures that are rendered for it."""
    from pipelines.build import evaluation_data
    from pipelines.mixing import data_folder
    from tools.prepare import prepare

    with tempfile.TemporaryDirectory() as scratch:
        if data is None:
            for split, count in (("train", _CALIBRATION), ("val", pictures)):
                prepare("synthetic", str(count), split, f"{scratch}/synthetic", workers=2)
        root, chosen = (scratch, ["synthetic"]) if data is None else (data, sets)

        def examples(split, count):
            each = -(-(count or pictures) // len(chosen))
            for name in chosen:
                folder = data_folder(root, name)
                yield from evaluation_data(folder, split, size, _BATCH, limit=each).as_numpy_iterator()

        yield examples


def _read_metrics(path):
    """Checked before anything is written."""
    from hiu_tf.evaluation.report import markdown

    try:
        metrics = json.loads(path.read_text())
        markdown(metrics["results"])
        return metrics
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no JSON of tools/evaluate.py: {error!r}") from error


def _write_serving(model, out, name, size):
    """Configs, manifests and warm-up records for the newest version."""
    import cv2

    from hiu_tf.runtime.backend import newest_version
    from hiu_tf.serving.kit import write_kit, write_warmup

    picture = cv2.imencode(".jpg", np.full((size, size, 3), 127, np.uint8))[1].tobytes()
    for path in [*write_kit(model, out, name), write_warmup(newest_version(model), size, picture, name)]:
        print(path)


def _share(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"takes a number from 0 to 1, got {text!r}")
    return value


def _batch(text):
    return None if text == "free" else positive(text)


def parse_args(argv):
    """The command line."""
    from hiu_tf.export.tflite import PRECISIONS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="folder of a finished training run, or of an exported SavedModel")
    parser.add_argument("--out", required=True, help="folder of the model; versions are numbered in it")
    parser.add_argument("--precisions", type=names, default=",".join(PRECISIONS), help="of TFLite files (default: all)")
    parser.add_argument(
        "--batch", type=_batch, default=1, help='crops of one call of a TFLite file, or "free": resizable (default 1)'
    )
    parser.add_argument("--no-mask", action="store_true", help="TFLite files without the mask: points and mesh alone")
    parser.add_argument("--data", help="folder of records to measure ranges and differences on (default: rendered)")
    parser.add_argument(
        "--sets", type=names, default="synthetic", help="comma-separated names under --data (default synthetic)"
    )
    parser.add_argument("--pictures", type=positive, default=208, help="to compare on (default 208)")
    parser.add_argument("--no-parity", action="store_true", help="compare nothing: for networks that are not trained")
    parser.add_argument("--serving", metavar="DIR", help="write a TF Serving server's files there, and warm-up records")
    parser.add_argument("--name", default=SERVER_MODEL, help="of the model on that server (default hiu)")
    parser.add_argument(
        "--min-score", type=_share, default=0.0, help="a hand that is searched for and scores less is none (default 0)"
    )
    parser.add_argument("--metrics", help="JSON of tools/evaluate.py, for the card")
    parser.add_argument("--training", default="", help="a sentence for the card: how the model was trained")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    unknown = set(args.precisions) - set(PRECISIONS)
    if unknown:
        parser.error(f"unknown precision {sorted(unknown)[0]!r}; known are {', '.join(PRECISIONS)}")
    if "int8" in args.precisions and (args.batch or 1) > _CALIBRATION:
        parser.error(f"int8 measures ranges on {_CALIBRATION} pictures: --batch can be no larger")
    return args


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from hiu_tf.training.folder import load_run

    metrics = _read_metrics(Path(args.metrics)) if args.metrics else None
    run = load_run(args.run)
    if args.no_parity and "int8" in args.precisions:
        raise UserError("int8 needs pictures: leave --no-parity, or name other --precisions")
    source = (
        nullcontext() if args.no_parity else example_source(run.config.image_size, args.data, args.sets, args.pictures)
    )
    with source as examples:
        options = {"batch": args.batch, "mask": not args.no_mask, "min_score": args.min_score}
        for path in export_run(run, Path(args.out), metrics, args.training, args.precisions, examples, **options):
            print(path)
    if args.serving:
        _write_serving(Path(args.out), Path(args.serving), args.name, run.config.image_size)
    print(f"next: hiu predict PICTURE --model {args.out} --out predictions")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
