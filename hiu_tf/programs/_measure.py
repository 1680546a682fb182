"""Runs models on records and collects their metrics, for hiu evaluate."""

from __future__ import annotations

import csv
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hiu_tf.errors import UserError

MEAN_SAMPLES = 512
_BATCH, _SEED = 32, 0
_WORST = 3  # named samples of each gesture


class Part(NamedTuple):
    """Which samples of each set are evaluated."""

    root: str
    sets: list[str]
    split: str = "val"
    fold: tuple[float, float] = (0.0, 1.0)
    limit: int = -1
    corruption: str = ""
    skip_damaged: bool = False


def open_model(path: str):
    """Opens a run's folder, a .tflite or .onnx file or a SavedModel folder. Returns (predict, side of its crops)."""
    from hiu_tf.evaluation.predictors import exported_predictor, network_predictor
    from hiu_tf.training.folder import RECIPE, load_run

    if (Path(path) / RECIPE).is_file():
        run = load_run(path)
        return network_predictor(run.network, run.hand, tasks=run.tasks), run.config.image_size
    return exported_predictor(path)


def run_predictors(run, every_stack: bool = False) -> dict:
    """Predictors of a run: "trained", a baseline with "random weights", and with `every_stack` one for each stack."""
    import tf_keras as keras

    from hiu_tf.evaluation.predictors import network_predictor
    from hiu_tf.models.hiu import build_hiu

    keras.utils.set_random_seed(_SEED)
    stacks = range(run.config.stacks if every_stack else 0)
    return {
        "trained": network_predictor(run.network, run.hand, tasks=run.tasks),
        "random weights": network_predictor(build_hiu(run.config), run.hand, tasks=run.tasks),
        **{f"stack {k + 1}": network_predictor(run.network, run.hand, k, run.tasks) for k in stacks},
    }


def no_rows(name: str, ids: list[str], measured: dict) -> None:
    """Writes nothing."""


def measure_sets(predictors: dict, size: int, part: Part, metrics, with_mean: bool = True, write=no_rows) -> dict:
    """{set: (samples, {predictor: measured})}. With `with_mean` adds a baseline: the mean label of the train split.

    `write` takes the results of each batch (`sample_rows`).
    """
    from hiu_tf.evaluation.evaluate import measure
    from hiu_tf.evaluation.predictors import mean_predictor
    from pipelines.mixing import data_folder
    from pipelines.records import has_split, read_index

    for name in part.sets:  # refuse a missing set before hours of evaluation
        read_index(data_folder(part.root, name), part.split)
    found = {}
    for name in part.sets:
        folder = data_folder(part.root, name)
        everyone = dict(predictors)
        if with_mean and has_split(folder, "train"):
            everyone["mean of training"] = mean_predictor(
                batches(folder, size, part._replace(split="train", fold=(0, 1), limit=MEAN_SAMPLES, corruption=""))
            )
        shown = with_progress(batches(folder, size, part), name, folder, part)
        found[name] = measure(everyone, shown, size, metrics, partial(write, name))
    return found


def with_progress(found, name: str, folder, part: Part):
    """The batches of a set, with a progress bar; its end is known for a whole split."""
    from tqdm import tqdm

    from pipelines.records import read_index

    samples = read_index(folder, part.split)[1]["samples"]
    if part.limit >= 0:
        samples = min(samples, part.limit)
    total = -(-samples // _BATCH) if part.fold == (0.0, 1.0) else None
    return tqdm(found, desc=f"evaluate {name}", unit="batch", total=total, disable=None)


def results_of(measured: dict) -> dict:
    """{set: {predictor: {metric: value}}}."""
    return {name: {who: found.values for who, found in everyone.items()} for name, (_, everyone) in measured.items()}


def tell_apart(predict, size: int, part: Part, none: str) -> str:
    """Markdown: how well the score separates each set's hands from the windows without a hand in the set `none`."""
    from hiu_tf.conventions import keys
    from hiu_tf.metrics.detection import best_threshold, separation_auc
    from hiu_tf.tables import markdown_table
    from pipelines.mixing import data_folder

    def score(batch):
        found = predict(batch[keys.IMAGE])
        if keys.SCORES not in found:
            raise UserError("--none needs the scores of joints: a network with the task heatmaps")
        return found[keys.SCORES].mean(axis=1)

    def scores(name):
        return np.concatenate([score(batch) for batch in batches(data_folder(part.root, name), size, part)])

    nothing, hands = scores(none), {name: scores(name) for name in part.sets}
    threshold = best_threshold(np.concatenate(list(hands.values())), nothing)
    rows = [[name, f"{separation_auc(s, nothing):.4f}", f"{np.mean(s >= threshold):.3f}"] for name, s in hands.items()]
    table = markdown_table([f"hand or none (score {threshold:.2f})", "AUC", "hands kept"], rows)
    refused = f"{np.mean(nothing < threshold):.3f} of {len(nothing)} windows of {none} are refused"
    return f"{table}\n\n{refused}"


def confidence_table(measured: dict) -> str:
    """Markdown: how often joints of each range of confidence are correct, of the first predictor, over all sets together."""
    from hiu_tf.evaluation.analysis import RIGHT_PX, calibration
    from hiu_tf.tables import markdown_table

    rows = calibration(*(next(iter(everyone.values())) for _, everyone in measured.values()))
    cells = [[f"{r['confidence']:.2f}", r["joints"], f"{r['right']:.2f}", f"{r['error']:.1f}"] for r in rows]
    head = ["confidence of a joint", "joints", f"within {RIGHT_PX:g} px of 256", "mean error (px of 256)"]
    count = sum(r["joints"] for r in rows)
    gap = sum(r["joints"] * abs(r["confidence"] - r["right"]) for r in rows) / max(count, 1)
    return f"{markdown_table(head, cells)}\n\nmean difference between confidence and share of correct joints: {gap:.3f}"


def gesture_table(measured: dict) -> str:
    """Markdown: errors of the first predictor by the gesture of the labelled joints, over all sets together."""
    from hiu_tf.conventions.skeleton import NUM_JOINTS
    from hiu_tf.evaluation.evaluate import NO_GESTURE
    from hiu_tf.metrics.metric import mean
    from hiu_tf.tables import markdown_table

    sets = [(samples, next(iter(everyone.values())).errors) for samples, everyone in measured.values()]
    gestures = np.concatenate([samples.gesture for samples, _ in sets])
    ids = [sample for samples, _ in sets for sample in samples.ids]
    missing = lambda samples: np.full((len(samples.ids), NUM_JOINTS), np.nan)
    flat, projected, deep = (
        np.concatenate([errors.get(metric, missing(samples)) for samples, errors in sets])
        for metric in ("joints_2d_box_error", "projected_2d_box_error", "joints_3d_aligned")
    )
    each, rows = mean(flat, axis=1), []
    for name in sorted(set(gestures) - {""}, key=lambda name: (name == NO_GESTURE, name)):
        hands = np.flatnonzero(gestures == name)
        joints = flat[hands][~np.isnan(flat[hands])]
        errors = [f"{mean(each[hands]):.3f}", f"{np.mean(joints <= 0.2):.3f}"]
        errors += [f"{mean(projected[hands]):.3f}", f"{mean(deep[hands]):.1f}"]
        worst = hands[np.argsort(-np.nan_to_num(each[hands], nan=-1.0))[:_WORST]]
        rows.append([name, len(hands), *errors, ", ".join(ids[n] for n in worst)])
    columns = ["2D, of the box", "PCK@.2", "projected, of the box", "3D aligned, mm", "worst"]
    return markdown_table(["labelled gesture", "hands", *columns], rows)


@contextmanager
def sample_rows(path: str | None, metrics):
    """Yields a function (set, ids, measured) that writes a row per sample: metrics and confidence of the first predictor.

    The file stands at `path` if the block succeeds. Without a path nothing is written.
    """
    from hiu_tf.atomic import written_whole

    if not path:
        yield no_rows
        return
    with written_whole(path) as scratch, open(scratch, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["set", "sample", *(metric.name for metric in metrics), "confidence"])
        yield partial(_write_rows, writer, metrics)


def _write_rows(writer, metrics, name, ids, measured):
    from hiu_tf.evaluation.analysis import sample_values

    found = next(iter(measured.values()))
    columns = sample_values(found, metrics)
    for n, sample in enumerate(ids):
        cells = [columns[f.name][n] if f.name in columns else float("nan") for f in metrics]
        writer.writerow([name, sample, *map(_cell, [*cells, found.scores[n].mean()])])


def write_page(path: Path, title: str, measured: dict, metrics, comparisons: dict) -> None:
    """Writes the HTML page of all results."""
    from hiu_tf.evaluation.page import add_dataset, add_published
    from hiu_tf.html import Page

    page = Page(title)
    for name, (samples, everyone) in measured.items():
        add_dataset(page, name, samples, everyone, metrics)
        if name in comparisons:
            page.text("Paired bootstrap; * where the interval leaves out 0")
            page.block(comparisons[name])
    add_published(page)
    page.write(path)


def batches(folder, size: int, part: Part):
    """Yields labelled batches of one set's part, as arrays."""
    from hiu_tf.conventions import keys
    from hiu_tf.evaluation.corruption import corrupted
    from pipelines.build import evaluation_data
    from pipelines.records import damaged_shards

    without = damaged_shards(folder, part.split) if part.skip_damaged else {}
    for shard, count in without.items():
        print(f"{shard} is damaged after {count} records: the rest of it is left out", file=sys.stderr)
    data = evaluation_data(folder, part.split, size, _BATCH, fold=part.fold, limit=part.limit, without=without)
    found = _readable(data.as_numpy_iterator(), folder, part.split)
    return corrupted(found, part.corruption, keys.IMAGE) if part.corruption else found


def _readable(batches, folder, split):
    """Yields the batches. Errors for unreadable records and NaN name the shard and the record."""
    import tensorflow as tf

    from pipelines.records import RecordError, damaged_shards

    try:
        for batch in batches:
            _refuse_not_finite(batch, folder)
            yield batch
    except tf.errors.OpError as error:
        where = [f"{shard}, record {count + 1}" for shard, count in damaged_shards(folder, split).items()]
        raise RecordError(
            f"{'; '.join(where) or folder} cannot be read: prepare it again, or leave it out with --skip-damaged "
            f"({error.message.splitlines()[0]})"
        ) from error


def _refuse_not_finite(batch, folder):
    from hiu_tf.conventions import keys
    from pipelines.records import RecordError

    pairs = (keys.JOINTS_2D, keys.JOINTS_2D_WEIGHT), (keys.JOINTS_3D, keys.JOINTS_3D_WEIGHT)
    for name, weight in pairs:
        bad = (batch[weight] > 0) & ~np.isfinite(batch[name]).all(axis=-1)
        if bad.any():
            sample = batch[keys.SAMPLE_ID][bad.any(axis=1).argmax()].decode()
            raise RecordError(f"{folder}: sample {sample}: {name} holds values that are not finite: prepare it again")


def _cell(value):
    return "" if value != value else f"{value:.6g}"
