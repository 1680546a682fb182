"""Exports a trained network: writes the files, compares them with the network, and publishes them with their card."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from hiu_tf.atomic import clear_leftovers, scratch_folder
from hiu_tf.conventions import keys
from hiu_tf.errors import UserError
from hiu_tf.evaluation.predictors import network_predictor
from hiu_tf.evaluation.summary import markdown
from hiu_tf.exporting.card import card_text, model_card, write_card
from hiu_tf.exporting.module import HIUModule
from hiu_tf.exporting.parity import beyond_limits, parity, parity_table
from hiu_tf.exporting.saved_model import next_version
from hiu_tf.exporting.targets import SAVED, TARGETS, USUAL, Options
from hiu_tf.runtime.results import write_text

CALIBRATION = 128  # pictures on which quantisation ranges are measured


def export(
    run,
    out: str | Path,
    targets: Iterable[str] = USUAL,
    examples: Callable[[str, int | None], Iterable[dict]] | None = None,
    metrics: dict | None = None,
    training: str = "",
    min_score: float = 0.0,
    options: Options | None = None,
    fits: bool = False,
) -> list[Path]:
    """Writes all files and their card; returns their paths, the SavedModel's first.

    Args:
      run: a `training.folder.Run`.
      out: folder of the model; versions of the SavedModel are numbered in it.
      targets: names of TARGETS. The SavedModel is always made, so that a training can start from it.
      examples: (split, count) -> labelled batches for quantisation ranges and for parity; None: no parity check.
      metrics: results of hiu evaluate, for the card.
      training: a sentence for the card that says how the network was trained.
      min_score: minimum score of a hand, for the card.
      options: options of the files.
      fits: whether the SavedModel's signature "located" fits the mesh to the heat maps, as `hiu predict` does.

    Raises:
      UserError: packages of a target are missing; or a file differs too much from the network and was not published.
        If it is the SavedModel, nothing is.
    """
    out, names, options = Path(out), list(dict.fromkeys([SAVED, *targets])), options or Options()
    module = HIUModule(run.network, run.hand, run.tasks, fits)
    results = (metrics or {}).get("results")
    card = model_card(run.preset, module.size, module.hand, results, min_score, run.config)
    if any(TARGETS[name].needs_crops for name in names):
        options = options._replace(crops=_crops(examples))
    out.mkdir(parents=True, exist_ok=True)
    clear_leftovers(out)
    # A server may be watching the folder: files are moved there only after all of them have passed.
    with scratch_folder(out) as scratch:
        made = {}
        for name in names:
            print(f"converting {run.preset} to {name} ...", flush=True)
            made[name] = TARGETS[name].write(module, scratch, card, options)
        found = _held_against(run, made, examples, module.size) if examples else {}
        wrong = beyond_limits(found, {name: TARGETS[name].limits for name in found})
        why = "; ".join(f"{name}: {text}" for name, text in wrong.items())
        if SAVED in wrong:
            raise UserError(f"nothing is published, for the SavedModel differs too much from the network: {why}")
        good = {name: path for name, path in made.items() if name not in wrong}
        paths = [next_version(out) if name == SAVED else out / path.name for name, path in good.items()]
        for path, target in zip(good.values(), paths):
            path.replace(target)
    write_card(out, card)
    sizes = {path.name: path.stat().st_size for path in paths[1:]}
    tables = [markdown(results) if results else "", parity_table(found) if found else ""]
    write_text(out / "card.md", card_text(card, sizes, tables, training))
    if wrong:
        raise UserError(f"{out} is complete but for what differs too much from the network: {why}")
    return paths


def _crops(examples):
    if examples is None:
        raise UserError("ranges are measured on pictures: give examples, or leave out the targets that need them")
    return np.concatenate([batch[keys.IMAGE] for batch in examples("train", CALIBRATION)])


def _held_against(run, made, examples, size):
    """Compares all exported files with the network."""
    print("comparing with the network ...", file=sys.stderr, flush=True)
    reference = network_predictor(run.network, run.hand, tasks=run.tasks)
    found = parity(
        reference, {name: TARGETS[name].open(path) for name, path in made.items()}, examples("val", None), size
    )
    print(parity_table(found))
    return found
