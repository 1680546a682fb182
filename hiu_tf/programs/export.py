"""Exports a trained network: SavedModel (TF Serving layout), TFLite and ONNX files, each compared with the network.

    hiu export --run runs/first --out savedmodels/mine
    hiu export --run runs/first --out savedmodels/mine --metrics metrics.json --data data --sets synthetic,digits
    hiu export --run runs/first --out savedmodels/mine --precisions float16,onnx
    hiu export --run runs/first --out savedmodels/mine --fit --serving serving

TFLite files: float32; float16 (half the size, used by `hiu predict`); dynamic and int8 (a quarter). int8 measures
its ranges on training pictures of --data, or on rendered ones. onnx is float32 for ONNX Runtime and others; it is
written only if it is named, and needs hiu-tf[onnx]. Every file is compared with the network over
held-out pictures. A file that differs by more than the limit of its precision is not published, and the program fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

from hiu_tf.commands.values import names, positive, share
from hiu_tf.conventions import SERVER_MODEL
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program, read_metrics

_BATCH = 16


@contextmanager
def example_source(size: int, data: str | None, sets: list[str], pictures: int):
    """Makes a function (split, count) -> labelled batches, from the sets of --data or from newly rendered pictures."""
    from hiu_tf.exporting.run import CALIBRATION
    from hiu_tf.programs.prepare import prepare
    from pipelines.build import evaluation_data
    from pipelines.mixing import data_folder

    with tempfile.TemporaryDirectory() as scratch:
        if data is None:
            for split, count in (("train", CALIBRATION), ("val", pictures)):
                prepare("synthetic", str(count), split, f"{scratch}/synthetic", workers=2)
        root, chosen = (scratch, ["synthetic"]) if data is None else (data, sets)

        def examples(split, count):
            each = -(-(count or pictures) // len(chosen))
            for name in chosen:
                folder = data_folder(root, name)
                yield from evaluation_data(folder, split, size, _BATCH, limit=each).as_numpy_iterator()

        yield examples


def _write_serving(model, out, name, size):
    """Writes configs, manifests and warm-up records for the newest version."""
    import cv2
    import numpy as np

    from hiu_tf.runtime.backend import newest_version
    from hiu_tf.serving.kit import write_kit, write_warmup

    picture = cv2.imencode(".jpg", np.full((size, size, 3), 127, np.uint8))[1].tobytes()
    for path in [*write_kit(model, out, name), write_warmup(newest_version(model), size, picture, name)]:
        print(path)


def _batch(text):
    return None if text == "free" else positive(text)


def parse_args(argv):
    """Parses the command line."""
    from hiu_tf.exporting.run import CALIBRATION
    from hiu_tf.exporting.targets import SAVED, TARGETS, USUAL

    files = [name for name in TARGETS if name != SAVED]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="folder of a finished training run, or of an exported SavedModel")
    parser.add_argument(
        "--weights", choices=("last", "best"), default="last", help="of the run's end, or best in validation"
    )
    parser.add_argument("--out", required=True, help="folder of the model; versions are numbered in it")
    parser.add_argument(
        "--precisions",
        type=names,
        default=",".join(name for name in USUAL if name != SAVED),
        help=f"files beside the SavedModel, of {', '.join(files)} (default %(default)s)",
    )
    parser.add_argument(
        "--batch", type=_batch, default=1, help='crops of one call of a TFLite or ONNX file, or "free" (default 1)'
    )
    parser.add_argument("--no-mask", action="store_true", help="TFLite and ONNX files without the mask")
    parser.add_argument("--data", help="folder of records to measure ranges and differences on (default: rendered)")
    parser.add_argument(
        "--sets", type=names, default="synthetic", help="comma-separated names under --data (default synthetic)"
    )
    parser.add_argument("--pictures", type=positive, default=208, help="to compare on (default 208)")
    parser.add_argument("--no-parity", action="store_true", help="compare nothing: for networks that are not trained")
    parser.add_argument(
        "--fit", action="store_true", help='the SavedModel\'s signature "located" fits meshes as hiu predict does'
    )
    parser.add_argument("--serving", metavar="DIR", help="write a TF Serving server's files there, and warm-up records")
    parser.add_argument("--name", default=SERVER_MODEL, help="of the model on that server (default hiu)")
    parser.add_argument(
        "--min-score", type=share, default=0.0, help="a hand that is searched for and scores less is none (default 0)"
    )
    parser.add_argument("--metrics", help="JSON of hiu evaluate, for the card")
    parser.add_argument("--training", default="", help="a sentence for the card: how the model was trained")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    unknown = set(args.precisions) - set(files)
    if unknown:
        parser.error(f"unknown precision {sorted(unknown)[0]!r}; known are {', '.join(files)}")
    if any(TARGETS[name].needs_crops for name in args.precisions) and (args.batch or 1) > CALIBRATION:
        parser.error(f"int8 measures ranges on {CALIBRATION} pictures: --batch can be no larger")
    return args


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from hiu_tf.evaluation.summary import markdown
    from hiu_tf.exporting.run import export
    from hiu_tf.exporting.targets import TARGETS, Options
    from hiu_tf.training.folder import load_run

    metrics = read_metrics(Path(args.metrics), markdown)[0] if args.metrics else None
    for check in filter(None, (TARGETS[name].check_packages for name in args.precisions)):
        check()
    run = load_run(args.run, args.weights == "best")
    if args.no_parity and any(TARGETS[name].needs_crops for name in args.precisions):
        raise UserError("int8 needs pictures: leave --no-parity, or name other --precisions")
    source = (
        nullcontext() if args.no_parity else example_source(run.config.image_size, args.data, args.sets, args.pictures)
    )
    with source as examples:
        options = Options(args.batch, not args.no_mask)
        paths = export(
            run, args.out, args.precisions, examples, metrics, args.training, args.min_score, options, args.fit
        )
    print("\n".join(map(str, paths)))
    if args.serving:
        _write_serving(Path(args.out), Path(args.serving), args.name, run.config.image_size)
    print(f"next: hiu predict PICTURE --model {args.out} --out predictions")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
