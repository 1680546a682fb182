"""The files in a run's folder. The recipe is written first, the network's weights last."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras

from hiu_tf.atomic import written_whole
from hiu_tf.config.presets import model_config
from hiu_tf.config.schema import ModelConfig, Recipe
from hiu_tf.errors import UserError
from hiu_tf.hand.load import load_hand
from hiu_tf.hand.model import HandModel
from hiu_tf.hand.procedural import procedural_hand
from hiu_tf.models.hiu import build_hiu
from hiu_tf.runtime.backend import model_card, newest_version
from hiu_tf.tasks import TASKS, find_tasks
from hiu_tf.tasks.base import Task
from hiu_tf.training.report import REPORT

RECIPE, WEIGHTS = "recipe.json", "network.weights.h5"
#: The weights with the best validation metric, and what it was.
BEST_WEIGHTS, BEST = "best.weights.h5", "best.json"
#: Path of the variables in a SavedModel.
SAVED_WEIGHTS = "variables/variables"


class Run(NamedTuple):
    """A trained network, with the settings and the hand model needed to use it."""

    network: keras.Model
    preset: str
    config: ModelConfig
    hand: HandModel

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks of the network."""
        return find_tasks(self.config.tasks)


def save_weights(network: keras.Model, folder: Path) -> None:
    """Writes the network's weights atomically."""
    with written_whole(folder / WEIGHTS) as scratch:
        network.save_weights(str(scratch))


def adopt(stage: Path, folder: Path) -> None:
    """Makes `folder` a finished run: copies recipe, weights and (if they exist) report and best weights of its last stage."""
    for name in (RECIPE, REPORT, BEST_WEIGHTS, BEST, WEIGHTS):
        if (stage / name).is_file():
            with written_whole(folder / name) as scratch:
                shutil.copyfile(stage / name, scratch)


def load_run(folder: str | Path, best: bool = False) -> Run:
    """Loads a finished run from its folder, or the network of an exported SavedModel.

    Args:
      folder: of the run or the SavedModel.
      best: whether to load the weights with the best validation metric (train.best) instead of the last ones.

    Raises:
      UserError: the folder is neither, or has no best weights.
    """
    recipe, weights = Path(folder) / RECIPE, Path(folder) / WEIGHTS
    if recipe.is_file() and weights.is_file():
        settings = _read_recipe(recipe)
    elif is_exported(Path(folder)):
        settings = _settings_of_card(folder)
    else:
        raise UserError(f"{folder} is no finished run: it lacks {RECIPE} or {WEIGHTS}")
    config = model_config(settings["model"], settings["network"])
    network = build_hiu(config)
    if best:
        _load_best(network, Path(folder))
    else:
        load_weights(network, Path(folder))
    return Run(network, settings["model"], config, load_hand(settings["hand"]))


def is_exported(folder: Path) -> bool:
    """Whether the folder is an exported SavedModel NAME, or a version of one."""
    return folder.is_dir() and (newest_version(folder) / (SAVED_WEIGHTS + ".index")).is_file()


def _settings_of_card(folder):
    """Settings of the recipe from the card of an exported model."""
    card = model_card(folder)
    if card["hand"]["name"] != procedural_hand().name:
        raise UserError(f"{folder} was made with the hand {card['hand']['name']}, which is not in its card")
    network = {"image_size": card["image_size"], "tasks": card["tasks"]} | card["network"]
    foreign = [name for name in network["tasks"] if name not in TASKS]
    if foreign:  # a card is not trusted to name modules to import
        raise UserError(f"{folder} has the task {foreign[0]}, which is not of this package: start from the run itself")
    return {"model": card["name"], "network": network, "hand": "procedural"}


def load_weights(network: keras.Model, folder: Path) -> None:
    """Loads the weights of a finished run or of an exported SavedModel of the same network.

    Raises:
      UserError: the folder has no weights of this network.
    """
    if not (folder / WEIGHTS).is_file() and is_exported(folder):
        _load_exported(network, newest_version(folder) / SAVED_WEIGHTS)
        return
    _load_file(network, folder / WEIGHTS)


def _load_best(network, folder):
    if not (folder / BEST_WEIGHTS).is_file():
        raise UserError(f"{folder} has no {BEST_WEIGHTS}: its recipe must name what to validate (train.validate)")
    _load_file(network, folder / BEST_WEIGHTS)


def _load_file(network, path):
    try:
        network.load_weights(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} does not hold the weights of this network: {error}") from error


def _load_exported(network, path):
    """Loads the variables of an exported model: those of the last stack's graph, in order (exporting/module.py)."""
    variables = keras.Model(network.input, network.output[-1]).variables
    try:
        saved = tf.train.load_checkpoint(str(path))
        values = [saved.get_tensor(f"weights/{k}/.ATTRIBUTES/VARIABLE_VALUE") for k in range(len(variables))]
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(f"{path} does not hold the weights of this network: {error}") from error
    for variable, value in zip(variables, values):
        if value.shape != tuple(variable.shape):
            raise UserError(f"{path}: {variable.name} has shape {value.shape}, expected {tuple(variable.shape)}")
    for variable, value in zip(variables, values):
        variable.assign(value)


def _read_recipe(path):
    try:
        settings = json.loads(path.read_text())
        return {"network": {}} | settings | {"model": settings["model"], "hand": settings["hand"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no recipe of a run: {error!r}") from error


def changed_settings(recipe: Recipe, folder: Path) -> list[str]:
    """Describes the differences from the folder's recipe.

    Raises:
      UserError: another network or hand, or another optimizer or average of the weights, whose state would start from zero.
    """
    path, settings = folder / RECIPE, json.loads(json.dumps(asdict(recipe)))
    if not path.exists():
        return []
    before = _read_recipe(path)
    for name in ("model", "network", "hand"):
        if before[name] != settings[name]:
            raise UserError(
                f"{folder} holds a run with {name} {before[name]}, not {settings[name]}: use another folder"
            )
    old = flat_settings(before)
    for name, kind in (("optimizer", str), ("ema", bool), ("swa_every", bool)):
        was, value = old.get(f"train.{name}"), settings["train"][name]
        if was is not None and kind(was) != kind(value):
            raise UserError(
                f"{folder} was trained with train.{name} {was}, not {value}, and cannot go on with it: use another "
                f"folder, with train.start_from={folder} if the run is finished"
            )
    return [
        f"{name} {old.get(name)} -> {value}"
        for name, value in flat_settings(settings).items()
        if old.get(name) != value
    ]


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Writes the resolved recipe atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / RECIPE) as scratch:
        scratch.write_text(json.dumps(asdict(recipe), indent=1))


def flat_settings(tree: dict, above: str = "") -> dict:
    """A recipe's tree as {dotted name: value}."""
    found = {}
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            found |= flat_settings(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found
