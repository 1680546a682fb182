"""Measures a trained network on labelled records, beside two baselines.

    python tools/evaluate.py --run runs/first --data data --sets synthetic,digits --json metrics.json

The baselines: the same network before training, and the mean label of the training split.

Other people's predictions, by a benchmark's official protocol (LABELS holds evaluation_xyz.json and
evaluation_verts.json; the predictions are a pred.json, or an .npz with xyz and verts):

    python tools/evaluate.py --protocol freihand --reference LABELS --predictions pred.json --json scores.json

By other protocols both are an .npz with joints [N, 21, 2 or 3] (pixels or metres); the labels may add
weight [N, 21] and size [N] (of a head or box). --protocol help lists them.

    python tools/evaluate.py --protocol zhou --reference labels.npz --predictions predictions.npz
"""

import argparse
import itertools
import sys
from pathlib import Path

from tools._program import positive, program

_MEAN_SAMPLES = 512
_BATCH = 32


def evaluate_run(
    run, root: str, sets: list[str], limit: int, split: str = "val", fold=(0.0, 1.0), every_stack: bool = False
) -> dict:
    """{data set: {predictor: {protocol: value}}} of a `training.run.Run` and the baselines on each set.

    With `every_stack` each stack of the network counts as a predictor too (supplement 2.3, item 3).
    """
    from tqdm import tqdm

    from hiu_tf.evaluation.evaluate import evaluate
    from hiu_tf.evaluation.predictors import mean_predictor, network_predictor
    from hiu_tf.models.hiu import build_hiu
    from pipelines.build import evaluation_data
    from pipelines.mixing import data_folder

    config = run.config
    trained = network_predictor(run.network, run.hand)
    untrained = network_predictor(build_hiu(config), run.hand)
    stacks = {f"stack {k + 1}": network_predictor(run.network, run.hand, k) for k in range(config.stacks * every_stack)}

    def batches(folder, split, samples, fold=(0.0, 1.0)):
        data = evaluation_data(folder, split, config.image_size, _BATCH, fold=fold)
        return itertools.islice(data.as_numpy_iterator(), -(-samples // _BATCH))

    results = {}
    for name in tqdm(sets, desc="evaluate", unit="set"):
        folder = data_folder(root, name)
        mean = mean_predictor(batches(folder, "train", _MEAN_SAMPLES))
        predictors = {"trained": trained, "untrained": untrained, "mean of training": mean, **stacks}
        results[name] = evaluate(predictors, batches(folder, split, limit, fold), config.image_size)
    return results


def evaluate_freihand(reference: str, predictions: str) -> dict[str, float]:
    """The twelve official figures of predictions against FreiHAND's labels."""
    from tqdm import tqdm

    from hiu_tf.evaluation import freihand

    labelled = freihand.read_reference(reference)
    predicted = freihand.read_predictions(predictions, len(labelled["xyz"]))
    mirrored = freihand.mirrored_share(predicted, labelled)
    if mirrored > 0.5:
        print(
            f"your predictions may be mirrored: for {mirrored:.0%} of the samples the mirror image fits better. The "
            "official alignment allows reflections, so that the aligned figures do not show it",
            file=sys.stderr,
        )
    return freihand.official_figures(predicted, labelled, lambda batches: tqdm(batches, desc="freihand", unit="batch"))


def evaluate_points(name: str, reference: str, predictions: str) -> dict:
    """Figures of other people's key points by a named protocol."""
    from hiu_tf.evaluation.benchmarks import POINT_PROTOCOLS, measure, read_points

    protocol = POINT_PROTOCOLS[name]
    labelled, predicted = (read_points(path, protocol.dimensions) for path in (reference, predictions))
    return measure(protocol, predicted, labelled)


def list_protocols() -> str:
    """Every protocol and its words."""
    from hiu_tf.evaluation.benchmarks import POINT_PROTOCOLS

    lines = ["freihand: the official script's twelve figures"]
    return "\n".join(lines + [f"{name}: {protocol.words}" for name, protocol in POINT_PROTOCOLS.items()])


def _protocol_names():
    from hiu_tf.evaluation.benchmarks import POINT_PROTOCOLS

    return list(POINT_PROTOCOLS)


def _fold(text):
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes LOW,HIGH, got {text!r}") from None
    if not 0 <= low < high <= 1:
        raise argparse.ArgumentTypeError(f"takes 0 <= LOW < HIGH <= 1, got {text!r}")
    return low, high


def parse_args(argv):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="folder of a finished training run")
    parser.add_argument("--data", help="folder that holds the records of the sets")
    parser.add_argument("--protocol", metavar="NAME", help="a benchmark's protocol, for --predictions; help lists them")
    parser.add_argument("--reference", metavar="DIR", help="labels of the protocol")
    parser.add_argument("--predictions", metavar="FILE", help="a pred.json, or an .npz with xyz and verts")
    parser.add_argument("--sets", default="synthetic", help="comma-separated names under --data (default synthetic)")
    parser.add_argument("--limit", type=positive, default=1_000_000, help="at most so many samples of each set")
    parser.add_argument("--split", default="val", help="of every set (default val)")
    parser.add_argument(
        "--fold", type=_fold, default="0,1", help="LOW,HIGH: only this part of the samples (default 0,1)"
    )
    parser.add_argument(
        "--every-stack", action="store_true", help="measure the answer of every stack, not the last alone"
    )
    parser.add_argument("--json", help="write the figures there")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    if args.protocol == "help":
        return args
    if args.protocol and args.protocol != "freihand" and args.protocol not in _protocol_names():
        parser.error(f"unknown protocol {args.protocol!r}; known are freihand, {', '.join(_protocol_names())}")
    if args.protocol and not (args.reference and args.predictions):
        parser.error("--protocol needs --reference and --predictions")
    if not args.protocol and not (args.run and args.data):
        parser.error("--run and --data are needed, or --protocol")
    return args


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from hiu_tf.evaluation.report import as_json, markdown
    from hiu_tf.runtime.results import write_json
    from hiu_tf.training.run import load_run

    if args.protocol == "help":
        print(list_protocols())
        return 0
    if args.protocol:
        if args.protocol == "freihand":
            figures = evaluate_freihand(args.reference, args.predictions)
        else:
            figures = evaluate_points(args.protocol, args.reference, args.predictions)
        shown = {name: value for name, value in figures.items() if name != "curve"}
        print("\n".join(f"{n}: {v:f}" if isinstance(v, float) else f"{n}: {v}" for n, v in shown.items()))
        if args.json:
            write_json(Path(args.json), figures)
        return 0
    run = load_run(args.run)
    results = evaluate_run(run, args.data, args.sets.split(","), args.limit, args.split, args.fold, args.every_stack)
    print(markdown(results))
    if args.json:
        write_json(Path(args.json), as_json(results, " ".join(sys.argv)))
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
