"""Exports a trained network: SavedModel (TF Serving layout) and TFLite float32 and float16.

python tools/export.py --run runs/first --out savedmodels/hiu_small
python tools/export.py --run runs/first --out savedmodels/hiu_small --metrics metrics.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hiu_tf.errors import UserError
from tools._program import program


def export_run(run, out: Path, metrics: dict | None, training: str) -> list[Path]:
    """Writes all artefacts of a `training.run.Run` and their cards; returns their paths."""
    from hiu_tf.evaluation.report import markdown
    from hiu_tf.export.card import card_text, model_card, write_card
    from hiu_tf.export.module import HIUModule
    from hiu_tf.export.saved_model import export_saved_model
    from hiu_tf.export.tflite import PRECISIONS, export_tflite
    from hiu_tf.runtime.results import write_text

    module = HIUModule(run.network, run.hand)
    results = (metrics or {}).get("results")
    card = model_card(run.preset, module.size, module.hand, results)
    paths = [export_saved_model(module, out, card)]
    for precision in PRECISIONS:
        paths.append(out / f"{run.preset}_{precision}.tflite")
        print(f"converting {paths[-1]} ...")
        export_tflite(module, paths[-1], precision)
    write_card(out, card)
    files = {path.name: path.stat().st_size for path in paths[1:]}
    write_text(out / "card.md", card_text(card, files, markdown(results) if results else "", training))
    return paths


def _read_metrics(path):
    """Checked before anything is written."""
    from hiu_tf.evaluation.report import markdown

    try:
        metrics = json.loads(path.read_text())
        markdown(metrics["results"])
        return metrics
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no JSON of tools/evaluate.py: {error!r}") from error


def parse_args(argv):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="folder of a finished training run")
    parser.add_argument("--out", required=True, help="folder of the model; versions are numbered in it")
    parser.add_argument("--metrics", help="JSON of tools/evaluate.py, for the card")
    parser.add_argument("--training", default="", help="a sentence for the card: how the model was trained")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from hiu_tf.training.run import load_run

    metrics = _read_metrics(Path(args.metrics)) if args.metrics else None
    for path in export_run(load_run(args.run), Path(args.out), metrics, args.training):
        print(path)
    print(f"next: hiu predict PICTURE --model {args.out} --out predictions")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
