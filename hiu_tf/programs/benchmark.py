"""Times parts of hiu-tf against plain implementations of the same, in one run on one machine.

    python tools/benchmark.py hand                       # the hand layer, batches 1, 32, 256
    python tools/benchmark.py hand --hand mano_right.npz --batches 32
    python tools/benchmark.py render                     # masks: kernel, twin, ours, tensorflow-graphics' splat
    python tools/benchmark.py render --batches 8 --sizes 256
    python tools/benchmark.py input                      # the input pipeline against decode-and-resize alone
    python tools/benchmark.py input --data data/rhd --sizes 256 --samples 100000
    python tools/benchmark.py train                      # a training step, beside one large convolution
    python tools/benchmark.py train --preset hiu_small --batches 16,32 --stacks 1,2,4,8
    python tools/benchmark.py predict                    # the product: find, read, fit, draw, beside a matrix product
    python tools/benchmark.py predict --picture photo.jpg --threads 1,2
    python tools/benchmark.py clip --smooth 0,0.5,1      # how steady and how late rendered hands are followed

    python tools/benchmark.py render --sizes 256 --batches 8 --require "splat / ours=20"   # fails below (make bench)

Prints milliseconds (median of the repetitions) or pictures a second, ratios and memory as Markdown tables.
Each implementation is measured in a process of its own. Without --data, `input` renders a few pictures.
"""

from __future__ import annotations

import argparse
import sys

from hiu_tf.commands.values import positive, share, target, whole_numbers
from hiu_tf.config.schema import TRAIN_CHOICES
from hiu_tf.programs._program import program

_BATCHES = {"hand": "1,32,256", "render": "1,8,32", "input": "16", "train": "4", "predict": "1", "clip": "1"}
_SIZES = {"hand": "0", "render": "64,128,256", "input": "128,256", "train": "0", "predict": "0", "clip": "0"}


def tables(args) -> list[list[dict]]:
    """Measures one part and returns its tables, each a list of rows."""
    from hiu_tf.programs.timed import hand, input, predict, render, steadiness, train

    batches = whole_numbers(args.batches or _BATCHES[args.part], "--batches")
    sizes = whole_numbers(args.sizes or _SIZES[args.part], "--sizes") if args.part in ("render", "input") else []
    if args.part == "hand":
        return [hand.hand_table(args.hand, batches)]
    if args.part == "predict":
        return predict.predict_tables(args.model, args.picture, whole_numbers(args.threads, "--threads"))
    if args.part == "clip":
        return [steadiness.steadiness_table(args.model, args.smooth)]
    if args.part == "train":
        stacks = whole_numbers(args.stacks, "--stacks") if args.stacks else []
        return train.train_tables(args.preset, batches, stacks, args.precision, args.data)
    if args.part == "render":
        return [render.render_table(args.hand, batches, sizes)]
    found = [input.input_table(args.data, batches, sizes), input.parts_table(args.data, batches, sizes)]
    return [*found, [input.endurance(args.data, args.samples)]] if args.samples else found


def missed(rows: list[dict], limits: list[tuple[str, float]]) -> list[str]:
    """One line for each limit (column, least) that a row misses, or that no row has."""
    lines = []
    for column, least in limits:
        values = [row[column] for row in rows if column in row]
        if not values:
            columns = dict.fromkeys(name for row in rows for name in row)
            lines.append(f"no table has a column {column!r}; known are {', '.join(columns)}")
        elif min(values) < least:
            lines.append(f"{column} is {min(values):.3g}, required are {least:g}")
    return lines


def _limit(text):
    column, _, least = text.rpartition("=")
    try:
        return column, float(least)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be COLUMN=NUMBER, got {text!r}") from error


def _strengths(text):
    return [share(part) for part in text.split(",")]


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=tuple(_BATCHES), help="what to time")
    parser.add_argument("--hand", default="procedural", help='"procedural" or an .npz (default: procedural)')
    parser.add_argument("--batches", help="batch sizes (default: hands 1,32,256, masks 1,8,32, input 16, train 4)")
    parser.add_argument("--sizes", help="sides in pixels (default: masks 64,128,256, pictures 128,256)")
    parser.add_argument("--data", help="input, train: folder of records (default: a few rendered pictures)")
    parser.add_argument("--samples", type=positive, help="input: let so many pass, for memory and start-up")
    parser.add_argument("--preset", default="hiu_1stack", help="train: the network (default hiu_1stack)")
    parser.add_argument("--stacks", help="train: numbers of stacks, for a table of growth")
    parser.add_argument("--precision", default="float32", choices=TRAIN_CHOICES["precision"], help="train")
    parser.add_argument("--smooth", type=_strengths, default="0,0.5,1", help="clip: strengths (default 0,0.5,1)")
    parser.add_argument("--model", help="predict, clip: .tflite file (default: the one that ships)")
    parser.add_argument("--picture", help="predict: of at least one hand (default: a rendered one)")
    parser.add_argument("--threads", default="1", help="predict: of the interpreters (default 1)")
    parser.add_argument(
        "--require", action="append", type=_limit, default=[], metavar="COLUMN=LEAST", help="fail if a row has less"
    )
    parser.add_argument("--json", type=target, help="write the rows there")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from hiu_tf.runtime.results import write_json
    from hiu_tf.tables import rows_table

    found = tables(args)
    print("\n\n".join(map(rows_table, found)))
    if args.json:
        write_json(args.json, {"command": " ".join(sys.argv), "tables": found})
    wrong = missed([row for rows in found for row in rows], args.require)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(program(main))
