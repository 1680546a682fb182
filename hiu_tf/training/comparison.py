"""Several runs on one page: last and best values, curves, and the settings in which the runs differ."""

from __future__ import annotations

import json
from pathlib import Path

from hiu_tf.errors import UserError
from hiu_tf.html import Page
from hiu_tf.training.folder import RECIPE, flat_settings
from hiu_tf.training.journal import read_journal

_MISSING = "-"
#: Endings of the names of metrics of which a higher value is better.
_HIGHER = ("auc", "iou", "accuracy")


def write_comparison(folders: list[Path], target: Path) -> None:
    """Writes an HTML page that compares runs, also unfinished ones.

    Args:
      folders: of the runs, at least two.
      target: the page.

    Raises:
      UserError: a folder is no run, or has no finished epoch.
    """
    names = _short_names(folders)
    records = {name: _records(folder) for name, folder in zip(names, folders)}
    recipes = {name: _settings(folder) for name, folder in zip(names, folders)}
    page = Page(f"Training runs {', '.join(names)}")
    page.heading("Validation: last (best, at its step)")
    page.table(["metric", *names], value_rows(records))
    page.heading("Settings in which the runs differ")
    page.table(["setting", *names], different_rows(recipes))
    page.heading("Curves")
    page.curves(curves(records))
    page.write(target)


def value_rows(records: dict[str, list[dict]]) -> list[list[str]]:
    """A row for each validation metric and for the training loss: last value and best value of each run."""
    names = [name for found in records.values() for record in found for name in record]
    rows = []
    for name in dict.fromkeys(
        name for name in names if "/" not in name and (name == "loss" or name.startswith("val_"))
    ):
        rows.append([name, *(_last_and_best(name, found) for found in records.values())])
    return rows


def different_rows(settings: dict[str, dict]) -> list[list[str]]:
    """A row for each setting whose value is not the same in all runs."""
    names = dict.fromkeys(name for one in settings.values() for name in one)
    rows = [
        [name, *(json.dumps(one[name]) if name in one else _MISSING for one in settings.values())] for name in names
    ]
    return [row for row in rows if len(set(row[1:])) > 1]


def curves(records: dict[str, list[dict]]) -> dict[str, dict[str, tuple]]:
    """{metric: {run: (steps, values)}} of totals; losses by set and stack are left to each run's own report."""
    panels = {}
    for run, found in records.items():
        for name in dict.fromkeys(name for record in found for name in record if "/" not in name and name != "step"):
            line = tuple(zip(*((record["step"], record[name]) for record in found if name in record)))
            panels.setdefault(name, {})[run] = line
    return panels


def _last_and_best(name, records):
    values = [(record[name], record["step"]) for record in records if name in record]
    if not values:
        return _MISSING
    best, step = (max if name.endswith(_HIGHER) else min)(values)
    return f"{values[-1][0]:.4g} ({best:.4g}, {step})"


def _short_names(folders):
    """The folders' own names, or their paths where two have the same name."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _records(folder):
    records = read_journal(folder)
    if not records:
        raise UserError(f"{folder} is no run with a finished epoch")
    return records


def _settings(folder):
    """The recipe as {dotted name: value}."""
    path = folder / RECIPE
    if not path.is_file():
        raise UserError(f"{folder} is no run: it lacks {RECIPE}")
    return flat_settings(json.loads(path.read_text()))
