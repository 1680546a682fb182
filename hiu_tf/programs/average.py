"""Averages the weights of finished runs of the same network ("model soup").

    hiu average runs/a runs/b --out runs/mean
    hiu average savedmodels/hiu_mobile runs/continued --out runs/mean
    hiu evaluate --run runs/mean --data data

Runs that started from the same weights, and differ in length, seed or data, often lie in one valley: their mean then
measures better than each of them (Wortsman et al., ICML 2022). Runs from different random weights do not; measure the
mean before you use it. Takes runs of hand networks and of detectors, and exported SavedModels of them, such as the one that a run started from. The result is a finished run with the recipe of the last one, which must be a run; averaged.json names the sources.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from hiu_tf.errors import UserError
from hiu_tf.programs._program import program

_SOURCES = "averaged.json"
#: Settings that say nothing about the weights.
_OF_TRAINING = ("batch_norm_momentum", "batch_norm_synchronized")
#: Settings of a recipe, beside its network's, without which numbers of two networks do not mean the same.
_HAND, _ENCODING = "hand", "pof_encoding"


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="hiu average", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", help="folders of two or more finished runs; SavedModels too, but for the last"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the new run")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Entry point."""
    args = parse_args(argv)
    if len(args.runs) < 2:
        raise UserError("give two or more runs")
    if args.out.exists():
        raise UserError(f"{args.out} exists: give another --out")
    average(args.runs, args.out)
    print(f"mean of {len(args.runs)} runs: {args.out}. Measure it before you use it.")
    return 0


def average(runs: list[Path], out: Path) -> None:
    """Writes a run with the mean of the weights of others.

    Args:
      runs: folders of runs or, before the last one, of exported SavedModels.
      out: folder of the new run.

    Raises:
      UserError: a folder is no finished run, has another network than the first, or is a SavedModel of several stacks,
        which lacks the heads of all but the last.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _average(
            [_as_run(run, Path(scratch) / str(number)) for number, run in enumerate(runs[:-1])] + runs[-1:], runs, out
        )


def _as_run(folder, scratch):
    """The folder itself, or if it is an exported SavedModel a run in `scratch` with its network."""
    from hiu_tf.training.folder import RECIPE, WEIGHTS, is_exported

    if (folder / RECIPE).is_file() or not is_exported(folder):
        return folder
    network, recipe = _exported(folder)
    scratch.mkdir()
    (scratch / RECIPE).write_text(json.dumps(recipe))
    network.save_weights(str(scratch / WEIGHTS))
    return scratch


def _exported(folder):
    """The network of a SavedModel, a hand network or else a detector, and what of a recipe says which it is."""
    from hiu_tf.runtime.card import ModelError
    from hiu_tf.training.detector import load_detector
    from hiu_tf.training.folder import load_run

    try:
        run = load_run(folder)
    except ModelError as error:
        try:
            network, config = load_detector(folder)
        except ModelError:
            raise error from None
        return network, {"network": asdict(config)}
    if run.config.stacks > 1:
        raise UserError(
            f"{folder} has the last of {run.config.stacks} stacks alone: name the run that it was made from"
        )
    return run.network, {"model": run.preset, "network": asdict(run.config), "hand": "procedural"}


def _average(runs, sources, out):
    from hiu_tf.atomic import written_whole
    from hiu_tf.training.folder import RECIPE, WEIGHTS

    networks = [_network(run / RECIPE, run / WEIGHTS) for run in runs]
    for run, network in zip(sources, networks):
        differing = _differing(networks[0], network)
        if differing:
            raise UserError(f"{run} has another network than {sources[0]}: {', '.join(differing)}")
    arrays = [_weights(run / WEIGHTS) for run in runs]
    for run, found in zip(sources, arrays):
        if {name: a.shape for name, a in found.items()} != {name: a.shape for name, a in arrays[0].items()}:
            raise UserError(f"{run} does not hold the arrays of {sources[0]}")
    mean = {name: np.mean([found[name] for found in arrays], axis=0, dtype=np.float64) for name in arrays[0]}
    out.mkdir(parents=True)
    shutil.copyfile(runs[-1] / RECIPE, out / RECIPE)
    digests = [hashlib.sha256((run / WEIGHTS).read_bytes()).hexdigest() for run in runs]
    named = [{"run": source.name, "sha256": digest} for source, digest in zip(sources, digests)]
    (out / _SOURCES).write_text(json.dumps(named, indent=1))
    with written_whole(out / WEIGHTS) as scratch:
        shutil.copyfile(runs[-1] / WEIGHTS, scratch)
        _overwrite(scratch, mean)


def _differing(first, other):
    """The settings in which two networks differ. An exported model does not tell its encoding of the fields."""
    ignored = {*_OF_TRAINING} | ({_ENCODING} - (first.keys() & other.keys()))
    return [
        f"{name} {other.get(name)} instead of {first.get(name)}"
        for name in first | other
        if name not in ignored and first.get(name) != other.get(name)
    ]


def _network(recipe, weights):
    """All settings of a run's network, those of its preset too, and what else the mean of two networks depends on."""
    from hiu_tf.config.presets import model_config

    if not recipe.is_file() or not weights.is_file():
        raise UserError(f"{recipe.parent} is no finished run: it lacks {recipe.name} or {weights.name}")
    try:
        content = json.loads(recipe.read_text())
        if "model" not in content:  # a detector's recipe has all of them
            return dict(content["network"])
        other = {name: content[name] for name in (_HAND, _ENCODING) if name in content}
        return asdict(model_config(content["model"], content["network"])) | other
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{recipe} is no recipe of a run: {error!r}") from error


def _weights(path):
    """{name: array} of all numbers in an .h5 file."""
    import h5py

    found = {}
    try:
        with h5py.File(path, "r") as file:
            file.visititems(lambda name, item: found.update({name: item[()]}) if hasattr(item, "shape") else None)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return found


def _overwrite(path, arrays):
    import h5py

    with h5py.File(path, "r+") as file:
        for name, array in arrays.items():
            file[name][...] = array


if __name__ == "__main__":
    sys.exit(program(main))
