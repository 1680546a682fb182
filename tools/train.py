"""Trains a network by a recipe.

    python tools/train.py --recipe pipelines/recipes/quickstart.yaml --data data --out runs/first
    python tools/train.py --recipe pipelines/recipes/demo.yaml --data data --out runs/real \\
        --set train.steps=4000 --set train.batch_size=8
    python tools/train.py --recipe pipelines/recipes/demo.yaml --data data --show batch.png

The same command goes on after an interruption. Look at it with `tensorboard --logdir RUN`.
"""

import argparse
import math
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from tools._program import program


def parse_args(argv):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="YAML file, see pipelines/recipes")
    parser.add_argument("--data", required=True, help="folder that holds the recipe's records (tools/prepare.py)")
    parser.add_argument("--out", help="folder of the run")
    parser.add_argument("--show", metavar="PNG", help="draw a batch with its targets as training would see it, no more")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    if not (args.out or args.show):
        parser.error("--out is needed")
    return args


def _with_steps(recipe, root):
    """The recipe with the steps that its epochs mean, where it counts epochs."""
    from pipelines.mixing import mixture

    if not recipe.train.epochs:
        return recipe
    steps = math.ceil(recipe.train.epochs * sum(mixture(recipe, root).values()) / recipe.train.batch_size)
    return replace(recipe, train=replace(recipe.train, steps=steps))


def _explained(error, recipe, root):
    """TensorFlow's error as one about records, where records are damaged; else itself."""
    from pipelines.mixing import data_folder
    from pipelines.records import RecordError, verify

    wrong = [problem for data in recipe.data.values() for problem in verify(data_folder(root, data.path))]
    return RecordError("records are damaged, prepare them again: " + "; ".join(wrong)) if wrong else error


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    import tensorflow as tf

    import hiu_tf  # noqa: F401  (before tensorflow: selects tf_keras)
    from hiu_tf.config.load import load_recipe
    from hiu_tf.config.presets import model_config
    from hiu_tf.training.distribution import strategy
    from hiu_tf.training.run import train
    from pipelines.build import finish, training_data
    from pipelines.mixing import describe

    recipe = _with_steps(load_recipe(args.recipe, args.set), args.data)
    size = model_config(recipe.model, recipe.network).image_size
    devices = strategy()
    training_data(recipe, args.data, size)  # refuse missing records before anything else
    if args.show:
        from tools._sheet import write_batch

        local = replace(recipe, train=replace(recipe.train, finish_on_device=False, input_service=""))
        write_batch(next(iter(training_data(local, args.data, size))), Path(args.show))
        print(f"{recipe.train.batch_size} samples (picture, 2D, heat maps, POF, mask): {args.show}")
        return 0
    print(
        f"{recipe.model} at {size} px on {devices.num_replicas_in_sync} device(s): {recipe.train.steps} steps of "
        f"{recipe.train.batch_size}; run in {args.out}"
    )
    print(describe(recipe, args.data, recipe.train.steps))
    start = time.time()
    try:
        with devices.scope():
            train(
                recipe,
                lambda start: training_data(recipe, args.data, size, start),
                Path(args.out),
                finish=partial(finish, recipe=recipe, size=size) if recipe.train.finish_on_device else None,
            )
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise _explained(error, recipe, args.data) from error
    print(f"trained in {time.time() - start:.0f} s. Next: python tools/evaluate.py --run {args.out} --data {args.data}")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
