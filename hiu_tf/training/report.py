"""The HTML report at the end of a run: recipe, curves and predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hiu_tf.html import Page
from hiu_tf.training.journal import STARTS, read_journal

REPORT = "report.html"


def write_report(
    folder: Path, picture: np.ndarray | None = None, results: Callable[[Page], None] | None = None
) -> Path:
    """Writes report.html into a run's folder: curves, last values, predictions, results, recipe, starts.

    Args:
      folder: of the run.
      picture: RGB [H, W, 3] of predictions.
      results: appends measured results of the trained network to the page.
    """
    records = read_journal(folder)
    page = Page(f"Training run {folder.name}")
    if records:
        page.heading("Course")
        page.curves(_panels(records))
        page.heading("Last epoch")
        last = records[-1]
        plain = {name: value for name, value in last.items() if "/" not in name}
        page.table(["metric", "value"], [[name, value] for name, value in plain.items()])
        _tables(page, last)
    if picture is not None:
        page.heading("Predictions of training pictures")
        page.picture(picture, "each row: the picture, then a panel for each task that is drawn (2D, mask, POF, mesh)")
    if results:
        results(page)
    page.heading("Recipe")
    page.block((folder / "recipe.json").read_text())
    if (folder / STARTS).exists():
        page.heading("Starts")
        for start in json.loads((folder / STARTS).read_text()):
            page.block(json.dumps(start, indent=1))
    page.write(folder / REPORT)
    return folder / REPORT


def _panels(records):
    """A panel for each total, and one for each loss with its curves by set and stack."""
    panels = {}
    names = list(dict.fromkeys(name for record in records for name in record if name != "step"))
    for name in names:
        if name.startswith("labels/"):
            continue
        title, _, label = name.partition("/")
        line = tuple(zip(*((record["step"], record[name]) for record in records if name in record)))
        if title.removeprefix("val_") in names and title.startswith("val_"):
            title, label, line = title[4:], "validation", (*line, "--")
        elif title.startswith("val_") and title.endswith(("auc", "iou")):
            title, label = "validation", title[4:]
        panels.setdefault(title, {})[label or "all"] = line
    return panels


def _tables(page, record):
    """Adds tables of the losses by set and stack, and of the number of labels."""
    parts = [name.split("/") for name in record if "/" in name and not name.startswith("labels/")]
    columns = sorted({part[1] for part in parts})
    losses = list(dict.fromkeys(part[0] for part in parts))
    if columns:
        page.text("Losses by set and stack (labels of that set in the epoch in brackets)")
        page.table(["loss", *columns], [[loss, *(_cell(record, loss, c) for c in columns)] for loss in losses])


def _cell(record, loss, column):
    value, labels = record.get(f"{loss}/{column}"), record.get(f"labels/{loss}/{column}")
    if value is None:
        return "-"
    return f"{value:.4g}" + (f" ({labels:.0f})" if labels is not None else "")
