"""Evaluates a model on labelled records, compared with baselines or another model: tables, JSON, CSV, a page.

    hiu evaluate --run runs/first --data data --sets synthetic,digits --json metrics.json --html page.html
    hiu evaluate --model savedmodels/hiu_mobile --data data --sets synthetic --csv samples.csv
    hiu evaluate --compare runs/first runs/second --data data --sets synthetic
    hiu evaluate --run runs/first --data data --corrupt all
    hiu evaluate --model savedmodels/hiu_mobile --data data --sets photos --through predict

The baselines of a run are the same network with random weights, and the mean label of the training split. --model
takes the folder of a run, a .tflite or .onnx file or a SavedModel folder. --compare tests by a paired bootstrap whether a
difference is more than sampling noise. --corrupt shows how much metrics drop on corrupted pictures. --through predict
sends whole pictures through the steps of `hiu predict`, given box and side, the box alone, or neither; with --turned also
pictures turned by random angles.

To write the pred.json of the evaluation pictures for FreiHAND's server (needs a model with MANO's 778 vertices):

    hiu evaluate --model MODEL --freihand FreiHAND_pub_v2 --pred pred.json

To evaluate other people's predictions by a benchmark's official protocol (LABELS contains evaluation_xyz.json and
evaluation_verts.json; the predictions are a pred.json, or an .npz with xyz and verts):

    hiu evaluate --protocol freihand --reference LABELS --predictions pred.json --json scores.json

For other protocols, labels and predictions are .npz files with joints [N, 21, 2 or 3] (pixels or metres); the labels
may add weight and visible [N, 21] (0: not labelled, hidden) and size [N] (0.7 head sizes, or the box's side). --protocol help lists the
protocols. With --run or --model, --protocols adds named ones to the table.

    hiu evaluate --protocol zhou --reference labels.npz --predictions predictions.npz
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hiu_tf.commands.values import names, positive, target
from hiu_tf.programs._measure import (
    Part,
    confidence_table,
    gesture_table,
    measure_sets,
    open_model,
    results_of,
    run_predictors,
    sample_rows,
    tell_apart,
    write_page,
)
from hiu_tf.programs._product import measure_product, side_table
from hiu_tf.programs._program import program


def evaluate_run(run, part: Part, every_stack: bool = False) -> dict:
    """{data set: {predictor: {metric: value}}} for a `training.folder.Run` and its baselines."""
    from hiu_tf.evaluation.metrics import metrics_of

    metrics = metrics_of(run.tasks)
    return results_of(measure_sets(run_predictors(run, every_stack), run.config.image_size, part, metrics))


def evaluate_freihand(reference: str, predictions: str) -> dict[str, float]:
    """The twelve official metrics of predictions against FreiHAND's labels."""
    from tqdm import tqdm

    from hiu_tf.evaluation import freihand

    print(f"FreiHAND's official script; {freihand.WORDS}")
    labelled = freihand.read_reference(reference)
    predicted = freihand.read_predictions(predictions, len(labelled["xyz"]))
    mirrored = freihand.mirrored_share(predicted, labelled)
    if mirrored > 0.5:
        print(
            f"your predictions may be mirrored: for {mirrored:.0%} of the samples the mirror image fits better. The "
            "official alignment allows reflections, so that the aligned metrics do not show it",
            file=sys.stderr,
        )
    return freihand.official_metrics(
        predicted, labelled, lambda batches: tqdm(batches, desc="freihand", unit="batch", disable=None)
    )


def evaluate_points(name: str, reference: str, predictions: str) -> dict:
    """Metrics of other people's key points by a named protocol."""
    from hiu_tf.evaluation.benchmarks import POINT_PROTOCOLS, measure, read_points

    protocol = POINT_PROTOCOLS[name]
    labelled, predicted = (read_points(path, protocol.dimensions) for path in (reference, predictions))
    return measure(protocol, predicted, labelled)


def list_protocols() -> str:
    """Lists every protocol with its description."""
    from hiu_tf.evaluation.benchmarks import POINT_PROTOCOLS
    from hiu_tf.evaluation.freihand import WORDS

    lines = [f"freihand: the official script's twelve metrics; {WORDS}"]
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


def _range(text):
    parts = text.split(",")
    try:
        low, high, steps = float(parts[0]), float(parts[1]), int(parts[2])
    except (ValueError, IndexError):
        raise argparse.ArgumentTypeError(f"takes LOW,HIGH,STEPS, got {text!r}") from None
    if len(parts) != 3 or not 0 <= low < high or steps < 2:
        raise argparse.ArgumentTypeError(f"takes 0 <= LOW < HIGH and at least 2 STEPS, got {text!r}")
    return low, high, steps


def parse_args(argv):
    """Parses the command line."""
    from hiu_tf.evaluation.corruption import CORRUPTIONS
    from hiu_tf.evaluation.freihand import WAYS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--run", help="folder of a finished training run, measured beside its baselines")
    add("--model", help="folder of a run, .tflite or .onnx file or SavedModel folder, measured alone")
    add("--compare", nargs=2, metavar=("A", "B"), help="two models (as --model): is B better than A?")
    add("--data", help="folder that holds the records of the sets")
    add("--sets", type=names, default="synthetic", help="comma-separated names under --data (default synthetic)")
    add("--split", default="val", help="of every set (default val)")
    add("--fold", type=_fold, default="0,1", help="LOW,HIGH: only this part of the samples (default 0,1)")
    add("--limit", type=positive, default=-1, help="at most so many samples of each set")
    add("--skip-damaged", action="store_true", help="leave out records that cannot be read, instead of stopping")
    add("--confidence", action="store_true", help="also print how often joints of each confidence are correct")
    add("--gestures", action="store_true", help="also print errors by the gesture of the labelled joints")
    add("--none", metavar="SET", help="a set without hands (no_hand): how well the score tells hands from nothing")
    add("--protocols", default="", help="comma-separated named protocols, added to the table")
    add(
        "--pixels", type=_range, metavar="LOW,HIGH,STEPS", help="range of the 2D areas, pixels of 256 (default 0,30,20)"
    )
    add("--corrupt", choices=("all", *CORRUPTIONS), help="measure on corrupted pictures too")
    add("--through", choices=("predict",), help="with --model: measure the product on whole pictures, not on crops")
    add("--turned", action="store_true", help="with --through: also on the pictures turned by random angles")
    add("--no-fit", action="store_true", help="with --through: leave the mesh where the regressor puts it")
    add("--fit-mask", action="store_true", help="with --through: fit the mesh to the mask too")
    add("--weights", choices=("last", "best"), default="last", help="with --run: of its end, or best in validation")
    add("--every-stack", action="store_true", help="with --run: the answer of every stack, not the last alone")
    add("--json", type=target, help="write the metrics there")
    add("--csv", type=target, help="write every sample's metrics there")
    add("--html", type=target, help="write a page with tables, curves, breakdowns and samples there")
    add("--freihand", metavar="DIR", help="FreiHAND's folder: predict its evaluation split for --pred")
    add("--pred", type=target, metavar="FILE", help="with --freihand: the pred.json to write")
    add(
        "--joints",
        choices=tuple(WAYS),
        default="chain",
        help="with --freihand: of the chain, or regressed from the mesh",
    )
    add("--hand", default="procedural", help="with --freihand: hand model (.npz) that the network poses")
    add("--protocol", metavar="NAME", help="a benchmark's protocol, for --predictions; help lists them")
    add("--reference", metavar="DIR", help="labels of the protocol")
    add("--predictions", metavar="FILE", help="a pred.json, or an .npz")
    add("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    _check(parser, args)
    return args


def _check(parser, args):
    known = _protocol_names()
    if args.protocol not in (None, "help", "freihand", *known):
        parser.error(f"unknown protocol {args.protocol!r}; known are freihand, {', '.join(known)}")
    for name in filter(None, args.protocols.split(",")):
        if name not in known:
            parser.error(f"unknown protocol {name!r}; known are {', '.join(known)}")
    if args.protocol and args.protocol != "help" and not (args.reference and args.predictions):
        parser.error("--protocol needs --reference and --predictions")
    if args.freihand and not (args.model and args.pred):
        parser.error("--freihand needs --model and --pred")
    models = [args.run, args.model, args.compare]
    if not args.protocol and not args.freihand and not (sum(map(bool, models)) == 1 and args.data):
        parser.error("one of --run, --model, --compare is needed with --data, or --protocol")
    if args.through and (not args.model or args.corrupt):
        parser.error("--through predict needs --model, and takes no --corrupt")
    for option, given in (("--no-fit", args.no_fit), ("--fit-mask", args.fit_mask), ("--turned", args.turned)):
        if given and not args.through:
            parser.error(f"{option} needs --through predict")
    if args.none and args.through:
        parser.error("--none measures crops: leave --through")
    for option, given in (("--every-stack", args.every_stack), ("--weights best", args.weights == "best")):
        if given and not args.run:
            parser.error(f"{option} needs --run")


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    if args.protocol == "help":
        print(list_protocols())
        return 0
    if args.protocol:
        return _measure_predictions(args)
    if args.freihand:
        return _predict_freihand(args)
    return _measure_models(args)


def _measure_predictions(args) -> int:
    from hiu_tf.runtime.results import write_json

    if args.protocol == "freihand":
        metrics = evaluate_freihand(args.reference, args.predictions)
    else:
        metrics = evaluate_points(args.protocol, args.reference, args.predictions)
    shown = {name: value for name, value in metrics.items() if name != "curve"}
    print("\n".join(f"{n}: {v:f}" if isinstance(v, float) else f"{n}: {v}" for n, v in shown.items()))
    if args.json:
        write_json(args.json, metrics)
    return 0


def _predict_freihand(args) -> int:
    from tqdm import tqdm

    from hiu_tf.evaluation.freihand import WAYS, write_predictions
    from hiu_tf.runtime.predictor import Predictor

    progress = lambda numbers: tqdm(numbers, desc="freihand", unit="picture", disable=None)
    predictor = Predictor(args.model, hand=args.hand)
    count = write_predictions(predictor, args.freihand, args.pred, progress, args.joints)
    print(f"{count} predictions, joints {WAYS[args.joints]}: {args.pred}")
    return 0


def _measure_models(args) -> int:
    from hiu_tf.evaluation.metrics import metrics_of, named_metrics, with_range
    from hiu_tf.evaluation.summary import as_json, markdown
    from hiu_tf.runtime.predictor import Predictor
    from hiu_tf.runtime.results import write_json
    from hiu_tf.tasks import PAPER

    predictors, size, tasks = ({}, None, PAPER) if args.through else _predictors(args)
    ours = with_range(metrics_of(tasks), *args.pixels) if args.pixels else metrics_of(tasks)
    metrics = (*ours, *named_metrics([name for name in args.protocols.split(",") if name]))
    part, sides = Part(args.data, args.sets, args.split, args.fold, args.limit, "", args.skip_damaged), {}
    with sample_rows(args.csv, metrics) as write:
        if args.through:
            predictor = Predictor(args.model, fit=not args.no_fit, fit_mask=args.fit_mask)
            measured, sides = measure_product(predictor, part, metrics, args.turned, write)
        else:
            measured = measure_sets(predictors, size, part, metrics, bool(args.run), write)
    if args.corrupt:
        _add_corrupted(args.corrupt, predictors, size, part, metrics, measured)
    results = results_of(measured)
    comparisons = _comparisons(args.compare, measured, metrics) if args.compare else {}
    print(markdown(results, metrics))
    for name, (samples, _) in measured.items():
        if samples.outside:
            print(f"\n{name}: {samples.outside} labelled 2D joints lie outside of the crops and are not counted")
    if sides:
        print(f"\n{side_table(sides)}")
    if args.confidence:
        print(f"\n{confidence_table(measured)}")
    if args.gestures:
        print(f"\n{gesture_table(measured)}")
    if args.none:
        print(f"\n{tell_apart(next(iter(predictors.values())), size, part, args.none)}")
    for name, table in comparisons.items():
        print(f"\n**{name}**: paired bootstrap, * where the interval leaves out 0\n\n{table}")
    if args.json:
        write_json(args.json, as_json(results, " ".join(sys.argv), metrics))
    if args.html:
        title = f"Evaluation of {args.run or args.model or ' and '.join(args.compare)}"
        write_page(args.html, title, measured, metrics, comparisons)
    return 0


def _predictors(args):
    """{name: predict}, the side of the crops, and the tasks."""
    from hiu_tf.errors import UserError
    from hiu_tf.tasks import PAPER
    from hiu_tf.training.folder import load_run

    if args.run:
        run = load_run(args.run, args.weights == "best")
        return run_predictors(run, args.every_stack), run.config.image_size, run.tasks
    models = {path: open_model(path) for path in (args.compare or [args.model])}
    sizes = {size for _, size in models.values()}
    if len(models) < len(args.compare or [0]) or len(sizes) > 1:
        raise UserError(f"only different models of crops of one size can be compared, not {', '.join(models)}: {sizes}")
    return {name: predict for name, (predict, _) in zip(_names(models), models.values())}, sizes.pop(), PAPER


def _names(paths):
    """Short names of the paths: last parts, with the model's name before a version number; whole paths if ambiguous."""
    short = ["/".join(Path(path).parts[-2 if Path(path).name.isdecimal() else -1 :]) for path in paths]
    return short if len(set(short)) == len(short) else list(paths)


def _add_corrupted(which, predictors, size, part, metrics, measured):
    """Adds results of the first predictor on corrupted pictures, beside those on clean ones."""
    from hiu_tf.evaluation.corruption import CORRUPTIONS

    name, predict = next(iter(predictors.items()))
    for corruption in CORRUPTIONS if which == "all" else [which]:
        found = measure_sets({name: predict}, size, part._replace(corruption=corruption), metrics, with_mean=False)
        for dataset, (_, everyone) in found.items():
            measured[dataset][1][f"{name}, {corruption}"] = everyone[name]


def _comparisons(models, measured, metrics):
    from hiu_tf.evaluation.compare import compare, comparison_table

    a, b = _names(models)
    tables = {}
    for name, (_, everyone) in measured.items():
        tables[name] = comparison_table(compare(everyone[a], everyone[b], metrics), a, b)
    return tables


if __name__ == "__main__":
    sys.exit(program(main))
