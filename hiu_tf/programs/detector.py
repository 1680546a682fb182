"""Trains, evaluates and exports the hand detector.

    hiu detector train --recipe pipelines/recipes/hand_detector.yaml --data data --out runs/detector
    hiu detector train --recipe pipelines/recipes/hand_detector.yaml --data data --show scenes.png
    hiu detector evaluate --model runs/detector --recipe pipelines/recipes/hand_detector.yaml --data data
    hiu detector export --run runs/detector --out savedmodels/hand_detector
    hiu detector export --run savedmodels/hand_detector --out models --min-score 0.2 --onnx

After an interruption the same command resumes the training.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from hiu_tf.commands.values import positive, share, target
from hiu_tf.programs._program import program, read_metrics

_SHOWN = 36
_ANY = 1e-6  # score of whatever `hiu predict` answers; a hand that it does not show has 0


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train it by a recipe")
    train.add_argument("--out", help="folder of the run")
    train.add_argument("--show", type=target, metavar="PNG", help="draw scenes as training would see them, no more")
    evaluate = commands.add_parser("evaluate", help="measure a run or a file on the val splits of a recipe")
    evaluate.add_argument("--model", required=True, help="folder of a run, or .tflite or .onnx file")
    evaluate.add_argument("--count", type=positive, default=300, help="composed scenes (default %(default)d)")
    evaluate.add_argument(
        "--through",
        choices=("predict",),
        help="measure what `hiu predict` answers with this detector (a file), hands read",
    )
    evaluate.add_argument("--hand-model", help="of --through predict (default: the one that ships)")
    evaluate.add_argument("--json", type=target, help="write the metrics there")
    evaluate.add_argument("--sheet", type=target, metavar="PNG", help="draw what it finds in some scenes of every set")
    export = commands.add_parser("export", help="write the float16 .tflite file, a SavedModel and the card")
    export.add_argument("--run", required=True, help="folder of a run, or of an exported SavedModel")
    export.add_argument("--out", required=True, help="folder for the results")
    export.add_argument("--image-size", type=positive, help="side of the square (default: the training's)")
    export.add_argument("--min-score", type=share, default=0.4, help="what a hand must score (default %(default)g)")
    export.add_argument("--onnx", action="store_true", help="write an .onnx file, too (needs hiu-tf[onnx])")
    export.add_argument("--metrics", help="JSON of evaluate, for the card")
    export.add_argument("--training", default="", help="how it was trained, a text for the card")
    for command in (train, evaluate):
        command.add_argument("--recipe", required=True, help="YAML file, see pipelines/recipes/hand_detector.yaml")
        command.add_argument("--data", required=True, help="folder that holds the recipe's records")
        command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    for command in (train, evaluate, export):
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    if args.command == "train" and not (args.out or args.show):
        parser.error("--out is needed")
    return args


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)

    import hiu_tf  # noqa: F401  (before tensorflow: selects tf_keras)
    from hiu_tf.training.memory import keep_freed_memory

    keep_freed_memory()
    return {"train": _train, "evaluate": _evaluate, "export": _export}[args.command](args)


def _train(args):
    from hiu_tf.config.load import load_detector_recipe
    from hiu_tf.pictures import encode_png
    from hiu_tf.programs._sheet import scenes_sheet
    from hiu_tf.training.detector import train_detector
    from pipelines.detection import scene_data
    from pipelines.material import load_material
    from pipelines.scenes import scene

    recipe = load_detector_recipe(args.recipe, args.set)
    material = load_material(recipe.scenes, args.data, "train")
    if args.show:
        make = partial(scene, seed=recipe.train.seed, material=material, config=recipe.scenes)
        sheet = scenes_sheet([make(k, size=recipe.network.image_size) for k in range(_SHOWN)])
        args.show.write_bytes(encode_png(sheet))
        print(f"{_SHOWN} scenes with boxes (green right, blue left), directions: {args.show}")
        return 0
    train_detector(recipe, partial(scene_data, recipe, material), Path(args.out))
    print(f"trained. Next: hiu detector evaluate --model {args.out} --data {args.data}")
    return 0


def _evaluate(args):
    from hiu_tf.config.load import load_detector_recipe
    from hiu_tf.pictures import encode_png
    from hiu_tf.programs._detection import Tally, best_score, table
    from hiu_tf.programs._sheet import scenes_sheet
    from hiu_tf.runtime.results import write_json
    from pipelines.material import load_material
    from pipelines.scenes import validation_sets

    recipe = load_detector_recipe(args.recipe, args.set)
    find, size, least = _product(args.model, args.hand_model) if args.through else _finder(Path(args.model))
    material = load_material(recipe.scenes, args.data, "val")
    tallies, shown = {}, []
    for name, pictures in validation_sets(material, recipe.scenes, size, args.count).items():
        tallies[name] = Tally()
        for number, (picture, hands) in enumerate(pictures):
            found = find(picture)
            tallies[name].add(found, hands, max(picture.shape[:2]))
            if number < _SHOWN // 3:
                shown.append((picture, _as_rows(found, 0.3 if least is None else least)))
    least = best_score(list(tallies.values())) if least is None else least
    rows = {name: tally.metrics(least) for name, tally in tallies.items()}
    print(f"{'what hiu predict answers' if args.through else f'at the score {least:g}'}:\n{table(rows)}")
    if args.sheet:
        args.sheet.write_bytes(encode_png(scenes_sheet(shown, size=size)))
    if args.json:
        write_json(args.json, {"command": " ".join(sys.argv), "min_score": least, "results": rows})
    return 0


def _as_rows(found, least):
    """Converts detections to rows for scenes_sheet."""
    import numpy as np

    rows = [[*f.box, *f.direction, f.left > 0.5, 1] for f in found if f.score >= least]
    return np.reshape(np.array(rows, np.float32), (-1, 8))


def _product(detector, hand_model):
    """As `_finder`, for the whole product: boxes are those of its hands, directions those of their joints."""
    from hiu_tf.codecs.centres import Found
    from hiu_tf.conventions.skeleton import Joint
    from hiu_tf.runtime.predictor import Predictor
    from hiu_tf.runtime.shipped import shipped_model

    predictor = Predictor(hand_model or shipped_model(), detector=detector, fit=False)

    def as_found(hand):
        direction = hand.joints_2d[Joint.MIDDLE1] - hand.joints_2d[Joint.WRIST]
        length = max(float((direction**2).sum() ** 0.5), 1e-6)
        return Found(hand.box, direction / length, float(hand.side == "left"), hand.score)

    # Whatever it answers counts.
    return lambda p: list(map(as_found, predictor.predict(p))), predictor.detector.size, _ANY


def _finder(path):
    """(picture -> all detections, side of the square, the card's score threshold or None)."""
    from hiu_tf.runtime.card import FILES

    if path.suffix in FILES:
        from hiu_tf.runtime.detector import Detector

        detector = Detector(path)
        return partial(detector.find, min_score=0.02), detector.size, detector.card["min_score"]
    import tensorflow as tf

    from hiu_tf.codecs.centres import decode, found_in_picture
    from hiu_tf.geometry.letterbox import letterbox
    from hiu_tf.training.detector import load_detector

    network, config = load_detector(path)
    # One by one, the network's operations take far longer than as a graph.
    predict = tf.function(partial(network, training=False), autograph=False)

    def find(picture):
        square, where = letterbox(picture, config.image_size)
        maps = predict(tf.constant(square[None].astype("float32") / 255.0)).numpy()[0]
        return [found_in_picture(hand, where) for hand in decode(maps, 0.02)]

    return find, config.image_size, None


def _export(args):
    from hiu_tf.exporting.detector import detector_card, detector_text, export_detector
    from hiu_tf.exporting.onnx_file import check_packages
    from hiu_tf.programs._detection import table
    from hiu_tf.training.detector import load_detector

    if args.onnx:
        check_packages()
    network, config = load_detector(Path(args.run), args.image_size)
    metrics, measured = read_metrics(Path(args.metrics), table) if args.metrics else ({}, "not measured")
    card = detector_card(config, args.min_score, metrics.get("results"))
    text = detector_text(card, measured, args.training)
    for path in export_detector(network, Path(args.out), card, text, args.onnx):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
