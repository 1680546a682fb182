"""Trains a network by a recipe.

    hiu train --recipe pipelines/recipes/quickstart.yaml --data data --out runs/first
    hiu train --recipe pipelines/recipes/demo.yaml --data data --out runs/real \\
        --set train.steps=4000 --set train.batch_size=8
    hiu train --recipe pipelines/recipes/demo.yaml --data data --show batch.png

After an interruption the same command resumes the run. See RUN/report.html for the result, and
`tensorboard --logdir RUN` during training. All GPUs of a machine train together; several machines train
together if TF_CONFIG names them (hiu launch starts such workers on one machine).
"""

import argparse
import math
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from hiu_tf.commands.values import target
from hiu_tf.programs._program import program

#: Number of val samples of each set that the report measures.
_IN_REPORT = 160

#: 16 bit precision -> flags of CPUs that compute in it (x86 and ARM), as Linux lists them.
_FLAGS = {"mixed_bfloat16": ("bf16",), "mixed_float16": ("fp16", "asimdhp")}


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="YAML file, see pipelines/recipes")
    parser.add_argument("--data", required=True, help="folder that holds the recipe's records (hiu prepare)")
    parser.add_argument("--out", help="folder of the run")
    parser.add_argument(
        "--show", type=target, metavar="PNG", help="draw a batch with its targets as training would see it, no more"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    if not (args.out or args.show):
        parser.error("--out is needed")
    return args


def _with_steps(recipe, root):
    """Converts train.epochs, if set, to train.steps."""
    from pipelines.mixing import mixture

    if not recipe.train.epochs:
        return recipe
    steps = math.ceil(recipe.train.epochs * sum(mixture(recipe, root).values()) / recipe.train.batch_size)
    return replace(recipe, train=replace(recipe.train, steps=steps))


def _explained(error, recipe, root):
    """Translates TensorFlow errors about a full disk, a lost worker or bad records; returns other errors unchanged."""
    import tensorflow as tf

    from hiu_tf.errors import LostWorker, UserError
    from pipelines.mixing import data_folder, drawn_sets
    from pipelines.records import RecordError, verify

    text = str(error)
    if any(sign in text for sign in ("No space left", "File too large", "Disk quota")):
        return UserError(
            f"the disk is full ({text.splitlines()[0]}). The last whole checkpoint is kept: make room, and the same "
            "command goes on"
        )
    if isinstance(error, (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.AbortedError)):
        return LostWorker("another worker is gone: start all workers again, they go on from the last checkpoint")
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return UserError(
            f"the memory does not suffice ({text.splitlines()[0]}): lower train.batch_size, or raise train.accumulate, which "
            "takes the batch in parts"
        )
    paths = dict.fromkeys([*(data.path for data in drawn_sets(recipe).values()), *recipe.augment.backgrounds])
    wrong = [problem for path in paths for problem in verify(data_folder(root, path))]
    return RecordError("records are damaged, prepare them again: " + "; ".join(wrong)) if wrong else error


def _precision_note(recipe, cpu: Path = Path("/proc/cpuinfo")) -> str:
    """What to know before a training in 16 bit on a CPU that does not compute in it; "" if there is nothing."""
    import tensorflow as tf

    wanted = _FLAGS.get(recipe.train.precision)
    if not wanted or tf.config.list_physical_devices("GPU") or not cpu.is_file():
        return ""
    if any(flag in cpu.read_text() for flag in wanted):
        return ""
    return (
        f"note: this CPU does not compute in {recipe.train.precision.removeprefix('mixed_')}, and its emulation is slow: "
        "--set train.precision=float32 is faster here"
    )


def _freihand_note(recipe, root) -> str:
    """What to know before a training on FreiHAND whose predictions its server would refuse; "" if there is nothing."""
    from hiu_tf.evaluation.freihand import NUM_VERTICES
    from hiu_tf.hand.load import load_hand
    from pipelines.mixing import data_folder, drawn_sets
    from pipelines.records import dataset_of

    if all(dataset_of(data_folder(root, data.path)) != "freihand" for data in drawn_sets(recipe).values()):
        return ""
    vertices = len(load_hand(recipe.hand).vertices)
    if vertices == NUM_VERTICES:
        return ""
    return (
        f"note: the hand model of this run ({recipe.hand}) has {vertices} vertices. FreiHAND's server takes MANO's "
        f"{NUM_VERTICES} alone, and hiu evaluate --freihand will refuse to write its pred.json: for that, train with "
        "--set hand=mano_right.npz (docs/hand.md)"
    )


def run_stages(recipe, root: str, folder: Path) -> None:
    """Trains every stage of the recipe in its own folder below `folder`; without stages, the recipe in `folder`.

    A stage starts from the weights of the one before, unless it names others in its own train.start_from.
    """
    from hiu_tf.config.load import stages

    before = recipe.train.start_from
    for number, (name, stage) in enumerate(stages(recipe).items(), start=1):
        own = folder / f"{number}_{name}" if name else folder
        if _goes_on(stage, recipe):
            stage = replace(stage, train=replace(stage.train, start_from=before))
        stage = _with_steps(stage, root)
        run_stage(stage, root, own)
        before = str(own)
    if before != str(folder):
        from hiu_tf.training.folder import adopt

        adopt(Path(before), folder)


def rehearse_later_stages(recipe, folder: Path) -> None:
    """Raises now what a later stage would raise at its start; stages that start from earlier ones get random weights."""
    from hiu_tf.config.load import stages
    from hiu_tf.training.run import rehearse

    for stage in list(stages(recipe).values())[1:]:
        if _goes_on(stage, recipe) or folder in Path(stage.train.start_from).parents:
            stage = replace(stage, train=replace(stage.train, start_from="", encoder_weights=""))
        rehearse(stage)


def _goes_on(stage, recipe):
    """Whether the stage names no weights of its own, so that it starts from the stage before."""
    return stage.train.start_from == recipe.train.start_from


def run_stage(recipe, root: str, folder: Path) -> None:
    """Trains one recipe."""
    import tensorflow as tf

    from hiu_tf.config.presets import model_config
    from hiu_tf.training.run import train
    from pipelines.build import finish, training_data, validation_data
    from pipelines.mixing import describe

    size = model_config(recipe.model, recipe.network).image_size
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    print(
        f"{recipe.model} at {size} px in {recipe.train.precision} on {replicas} device(s): {recipe.train.steps} steps of "
        f"{recipe.train.batch_size}; run in {folder}"
    )
    print(describe(recipe, root, recipe.train.steps))
    try:
        train(
            recipe,
            lambda start, worker, workers: training_data(recipe, root, size, start, worker, workers),
            folder,
            finish=partial(finish, recipe=recipe, size=size),
            validation=validation_data(recipe, root, size),
            results=partial(_add_results, recipe=recipe, root=root, size=size) if recipe.train.validate else None,
        )
    except (tf.errors.OpError, OSError) as error:
        raise _explained(error, recipe, root) from error


def _add_results(page, run, recipe, root, size):
    """Appends what `hiu evaluate --html` shows of the sets of train.validate: metrics, PCK curves, worst samples."""
    from hiu_tf.evaluation.metrics import metrics_of
    from hiu_tf.evaluation.page import add_dataset
    from hiu_tf.evaluation.predictors import network_predictor
    from hiu_tf.programs._measure import Part, measure_sets
    from pipelines.build import validated_paths

    predictors = {"trained": network_predictor(run.network, run.hand, tasks=run.tasks)}
    part = Part(root, validated_paths(recipe), limit=_IN_REPORT)
    metrics = metrics_of(run.tasks)
    for name, (samples, measured) in measure_sets(predictors, size, part, metrics, with_mean=False).items():
        add_dataset(page, name, samples, measured, metrics)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)

    import hiu_tf  # noqa: F401  (before tensorflow: selects tf_keras)
    from hiu_tf.training.memory import keep_freed_memory

    keep_freed_memory()
    from hiu_tf.config.load import load_recipe, stages
    from hiu_tf.config.presets import model_config
    from hiu_tf.training.distribution import strategy
    from pipelines.build import finished_data, training_data, validation_data

    devices = strategy()
    recipe = load_recipe(args.recipe, args.set)
    size = model_config(recipe.model, recipe.network).image_size
    for stage in stages(recipe).values():  # refuse missing records at the start, not after a stage
        training_data(stage, args.data, size)
        validation_data(stage, args.data, size)
    if args.show:
        from hiu_tf.programs._sheet import write_batch

        local = replace(recipe, train=replace(recipe.train, input_service=""))
        write_batch(next(iter(finished_data(local, args.data, size))), args.show)
        print(
            f"{recipe.train.batch_size} samples (picture, 2D, heat maps, POF, mask, as far as the tasks have them): {args.show}"
        )
        return 0
    for note in filter(None, (_precision_note(recipe), _freihand_note(recipe, args.data))):
        print(note)
    start = time.time()
    with devices.scope():
        rehearse_later_stages(recipe, Path(args.out))
        run_stages(recipe, args.data, Path(args.out))
    print(f"trained in {time.time() - start:.0f} s. Look at {args.out}/report.html. Next:")
    print(f"  hiu evaluate --run {args.out} --data {args.data}")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
