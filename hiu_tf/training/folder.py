"""What lies in a run's folder: the recipe first, the network's weights last."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import tf_keras as keras

from hiu_tf.atomic import written_whole
from hiu_tf.config.presets import model_config
from hiu_tf.config.schema import ModelConfig, Recipe
from hiu_tf.errors import UserError
from hiu_tf.hand.model import HandModel
from hiu_tf.hand.procedural import hand_model
from hiu_tf.models.hiu import build_hiu
from hiu_tf.training.report import REPORT

RECIPE, WEIGHTS = "recipe.json", "network.weights.h5"


class Run(NamedTuple):
    """What a training run has made, and what is needed to use it."""

    network: keras.Model
    preset: str
    config: ModelConfig
    hand: HandModel


def save_weights(network: keras.Model, folder: Path) -> None:
    """Writes the network's weights, whole or not at all."""
    with written_whole(folder / WEIGHTS) as scratch:
        network.save_weights(str(scratch))


def adopt(stage: Path, folder: Path) -> None:
    """Makes `folder` a finished run with the recipe, weights and (if nobody took it away) report of its last stage."""
    for name in (RECIPE, REPORT, WEIGHTS) if (stage / REPORT).is_file() else (RECIPE, WEIGHTS):
        with written_whole(folder / name) as scratch:
            shutil.copyfile(stage / name, scratch)


def load_run(folder: str | Path) -> Run:
    """A finished run from its folder.

    Raises:
      UserError: the folder is no finished run.
    """
    recipe, weights = Path(folder) / RECIPE, Path(folder) / WEIGHTS
    if not recipe.is_file() or not weights.is_file():
        raise UserError(f"{folder} is no finished run: it lacks {RECIPE} or {WEIGHTS}")
    settings = _read_recipe(recipe)
    config = model_config(settings["model"], settings["network"])
    network = build_hiu(config)
    load_weights(network, Path(folder))
    return Run(network, settings["model"], config, hand_model(settings["hand"]))


def load_weights(network: keras.Model, folder: Path) -> None:
    """The weights of a finished run, which must be of the same network."""
    path = folder / WEIGHTS
    try:
        network.load_weights(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} does not hold the weights of this network: {error}") from error


def _read_recipe(path):
    try:
        settings = json.loads(path.read_text())
        return {"network": {}} | settings | {"model": settings["model"], "hand": settings["hand"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no recipe of a run: {error!r}") from error


def changed_settings(recipe: Recipe, folder: Path) -> list[str]:
    """What differs from the folder's recipe, in words; refuses weights of another network or hand."""
    path, settings = folder / RECIPE, json.loads(json.dumps(asdict(recipe)))
    if not path.exists():
        return []
    before = _read_recipe(path)
    for name in ("model", "network", "hand"):
        if before[name] != settings[name]:
            raise UserError(
                f"{folder} holds a run with {name} {before[name]}, not {settings[name]}: use another folder"
            )
    return _changed(before, settings)


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Writes the resolved recipe, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / RECIPE) as scratch:
        scratch.write_text(json.dumps(asdict(recipe), indent=1))


def _changed(before, now, prefix=""):
    """Settings that differ between two recipes, in words."""
    found = []
    for name, value in now.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            found += _changed(old, value, f"{prefix}{name}.")
        elif old != value:
            found.append(f"{prefix}{name} {old} -> {value}")
    return found
