"""Recipes from YAML, with overrides from the command line."""

from __future__ import annotations

import difflib
import re
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import get_origin, get_type_hints

import dacite
import yaml

from hiu_tf.config import detection, schema
from hiu_tf.config.detection import DetectorRecipe
from hiu_tf.config.schema import Recipe
from hiu_tf.errors import ConfigError

_SHIPPED = ("pipelines", "recipes")
#: Exceptions of PyYAML: its own, and those of the types that scalars are converted to.
_UNREADABLE = (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError)


class _OnceLoader(yaml.SafeLoader):
    """A loader that refuses duplicate keys. PyYAML would silently take the last one."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float, bool, type(None))):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# PyYAML takes 1e-3 for a text, because YAML 1.1 wants 1.0e-3.
_OnceLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load_recipe(path: str | Path, overrides: list[str] = ()) -> Recipe:
    """Reads a recipe and applies overrides such as "train.batch_size=8"; "data.*.ssl=0" applies to every set.

    A recipe with `base: FILE` (relative to its own folder) has the settings of that recipe, changed by its own.

    Raises:
      ConfigError: the file cannot be read, or a key or value does not fit the schema.
    """
    tree = _tree(path, overrides, _with_weights)
    if "scenes" in tree:
        raise ConfigError(f"{path} is the recipe of a detector: give it to hiu detector")
    recipe = _checked(Recipe, tree, path)
    stages(recipe)  # refuse a bad stage before hours of work
    return recipe


def load_detector_recipe(path: str | Path, overrides: list[str] = ()) -> DetectorRecipe:
    """Reads the recipe of a detector, as `load_recipe` does."""
    return _checked(DetectorRecipe, _tree(path, overrides, lambda tree: tree), path)


def _tree(path, overrides, spelt):
    """Reads the file as a tree of keys and values and applies the overrides.

    `spelt` gives settings of two spellings the same one, before anything is merged: the later one of both counts.
    """
    tree = _read(_found(Path(path)), spelt)
    for override in overrides:
        _apply(tree, *parse_setting(override))
        tree = spelt(tree)
    return tree


def _found(path):
    """The path, or the recipe of the package for pipelines/recipes/NAME outside of a checkout."""
    shipped = Path(__file__).parents[2] / path
    return shipped if path.parts[:2] == _SHIPPED and not path.exists() and shipped.exists() else path


def _read(path, spelt, above=()):
    """Reads a file and the recipe that it is based on; `above` are the files that are based on it."""
    try:
        tree = yaml.load(path.read_text(), _OnceLoader)
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {error.strerror}") from error
    except _UNREADABLE as error:
        raise ConfigError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} is no recipe: it holds {type(tree).__name__}, expected keys and values")
    tree = spelt(tree)
    if "base" not in tree:
        return tree
    base = tree.pop("base")
    if not isinstance(base, str) or (path.parent / base).resolve() in (path.resolve(), *above):
        raise ConfigError(
            f"{path}: base must be the file of another recipe, which is not based on this one, got {base!r}"
        )
    return _merged(_read(path.parent / base, spelt, (path.resolve(), *above)), tree)


def _merged(tree, changes):
    """The tree with the changes; mappings are merged key by key, everything else is replaced."""
    both = {k: _merged(tree[k], v) for k, v in changes.items() if isinstance(v, dict) and isinstance(tree.get(k), dict)}
    return tree | changes | both


def stages(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe of each stage, in order. A recipe without stages is its own single stage, named ""."""
    if not recipe.stages:
        return {"": recipe}
    found = {}
    for stage, changes in recipe.stages.items():
        tree = asdict(recipe) | {"stages": {}}
        for name, value in changes.items():
            _apply(tree, name, value)
            tree = _with_weights(tree)
        found[stage] = _checked(Recipe, tree, f"stage {stage}")
    return found


def _with_weights(tree):
    """Moves the loss names from among the settings of `loss` into the mapping loss.weights."""
    loss = tree.get("loss")
    if not isinstance(loss, dict):
        return tree
    settings = {f.name for f in fields(schema.LossConfig)}
    named = {name: value for name, value in loss.items() if name not in settings}
    weights = loss.get("weights", {})
    if not isinstance(weights, dict):
        return tree  # the type check refuses it later
    return tree | {"loss": {k: v for k, v in loss.items() if k in settings} | {"weights": weights | named}}


def _checked(kind, tree, where):
    tree = _with_lists(kind, tree)
    try:
        return dacite.from_dict(kind, tree, dacite.Config(strict=True, cast=[tuple, float]))
    except dacite.UnexpectedDataError as error:
        raise ConfigError(f"{where}: {'; '.join(map(_unknown, sorted(map(str, error.keys))))}") from error
    except (dacite.DaciteError, TypeError, ValueError) as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"{where}: {error}") from error


def _with_lists(kind, tree, above=""):
    """The tree of a dataclass, where a setting that is a list and has no text, as in `validate=`, is an empty list.

    Raises:
      ConfigError: such a setting has another text, of which dacite would take each letter; or a number is true or false,
        which dacite would take for 1 or 0.
    """
    if not isinstance(tree, dict):
        return tree
    tree, types = dict(tree), get_type_hints(kind)
    for name, value in tree.items():
        if is_dataclass(types.get(name)):
            tree[name] = _with_lists(types[name], value, f"{above}{name}.")
        elif get_origin(types.get(name)) is tuple and isinstance(value, str):
            if value:
                raise ConfigError(f"{above}{name} takes a list, such as [{value}], got {value!r}")
            tree[name] = []
        elif types.get(name) in (int, float) and isinstance(value, bool):
            raise ConfigError(f"{above}{name} takes a number, got {value}")
    return tree


def parse_setting(setting: str) -> tuple[str, object]:
    """Parses "train.batch_size=8" to ("train.batch_size", 8). The value is YAML; none at all is the empty text.

    Raises:
      ConfigError: the text does not have this form.
    """
    name, equals, value = setting.partition("=")
    if not equals or not name:
        raise ConfigError(f"a setting is NAME=VALUE, got {setting!r}")
    try:
        return name, yaml.load(value, _OnceLoader) if value.strip() else ""
    except _UNREADABLE as error:
        raise ConfigError(f"setting {setting!r}: the value is no valid YAML: {' '.join(str(error).split())}") from error


def _unknown(key):
    """Error message for an unknown setting, with suggestions of similar spelling."""
    tables = [kind for part in (schema, detection) for kind in vars(part).values() if is_dataclass(kind)]
    known = sorted({field.name for kind in tables for field in fields(kind)})
    close = difflib.get_close_matches(key, known, n=3)
    return f"there is no setting {key!r}" + (f": did you mean {' or '.join(close)}?" if close else "")


def _apply(tree, name, value):
    *parents, last = name.split(".")
    trees = [tree]
    for parent in parents:
        trees = [
            child for tree in trees for child in (tree.values() if parent == "*" else [tree.setdefault(parent, {})])
        ]
        if not all(isinstance(child, dict) for child in trees):
            raise ConfigError(f"override {name}={value}: {parent} holds no settings")
    for tree in trees:
        tree[last] = value
