"""Fits the hand model to hands with 2D and 3D joints, and writes records with meshes and parameters for training.

    hiu prepare own_data --source photos/ --split train --out data/photos
    hiu fit data/photos --split train --out data/photos_fitted
    hiu fit data/photos --split train --out data/photos_fitted --predict-masks
    hiu fit data/freihand --split train --out data/freihand_fitted --measured --hand mano_right.npz

Levenberg-Marquardt fits beta, theta, R and T of each hand so that its joints project to the 2D labels, its bones
have the directions of the 3D labels, and its mesh covers the mask (if there is one), within anatomical limits. A sample with a good fit gets mesh, parameters and
fitted 3D joints; the others keep their labels. A sample with a mesh and without a mask gets the mesh's silhouette. With --predict-masks it
gets the mask that a hand network predicts, if the mesh can be fitted to it, and none otherwise: silhouettes ignore what lies before a hand.
(Records that hiu fit has written have masks already: give it those of hiu prepare.)

Other splits are copied unchanged. Beside the records it writes fits.csv (each sample: error, angle, IoU of mesh and mask, where the mask
is from, why it has no mesh), fits.png (good fits, then the worst of the kept ones), and poses.npz with poses and views alone, in
which `hiu prepare synthetic --option poses=data/` renders hands.
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from hiu_tf.commands.values import positive
from hiu_tf.programs._program import program

_AT_ONCE = 64


def predicted_masks(samples: list, predictor) -> tuple[list[bytes], list[str]]:
    """Predicts masks of the samples that have none but have what a fit needs; b"" for all others.

    Returns them, and why there is none where the prediction failed.
    """
    from hiu_tf.errors import UserError
    from hiu_tf.geometry.window import box_of
    from hiu_tf.pictures import decode_rgb
    from pipelines.meshes import lacking
    from pipelines.schema import SIDES
    from pipelines.store import encode_mask

    names, masks, failed = {number: name for name, number in SIDES.items() if name}, [], []
    for sample in samples:
        masks.append(b"")
        if sample.mask or lacking(sample):
            continue
        picture = decode_rgb(sample.image)
        if picture is None or picture.shape[:2] != (sample.height, sample.width):
            failed.append(f"{sample.sample_id}: OpenCV cannot read its picture, or reads another size")
            continue
        try:
            (hand,) = predictor.predict(picture, box_of(sample.joints_2d), names[sample.side])
        except UserError as error:
            failed.append(f"{sample.sample_id}: {error}")
        else:
            masks[-1] = encode_mask(hand.mask > 0.5)
    return masks, failed


def fit_records(folder: Path, split: str, out: Path, hand, measured: bool, predictor=None) -> list:
    """Fits every sample of a split and writes records of all samples. Returns the fits.

    With a `predictor` (runtime/predictor.py), samples without a mask get a predicted one where the fit confirms it; those that
    cannot be predicted are listed on stderr.

    Raises:
      RecordError: the folder has no such split, or `out` is the folder itself.
    """
    import tensorflow as tf
    from tqdm import tqdm

    from pipelines.meshes import fit_samples
    from pipelines.records import (
        RecordError,
        dataset_of,
        decode,
        read_index,
        refuse_other_set,
        write_index,
        write_shard,
    )

    shards, counts = read_index(folder, split)
    dataset = dataset_of(folder)
    if out.resolve() == folder.resolve():
        raise RecordError(f"{out} holds the records that are read: give another --out")
    refuse_other_set(out, dataset)
    fits, notes = [], {}
    with tqdm(total=counts["samples"], desc=f"fit {folder.name}/{split}", unit=" hands", disable=None) as bar:
        for shard in map(Path, shards):
            samples = [decode(record.numpy()) for record in tf.data.TFRecordDataset(str(shard))]
            some = []
            for start in range(0, len(samples), _AT_ONCE):
                few = samples[start : start + _AT_ONCE]
                masks, failed = predicted_masks(few, predictor) if predictor else (None, [])
                for words in failed:
                    bar.write(f"no mask predicted: {words}", file=sys.stderr)
                some += fit_samples(few, hand, measured, masks)
                bar.update(len(few))
            made_from = f"fits of {shard.name}, {hand.name}, measured {measured}"
            made_from += f", masks predicted by {predictor.card['name']}" if predictor else ""
            outcomes = [(fit.sample.sample_id, fit.sample.validate()) for fit in some]
            (out / shard.with_suffix(".json").name).unlink(missing_ok=True)  # remove the note of older fits
            notes[shard.name] = write_shard(out / shard.name, outcomes, made_from)
            fits += some
    write_index(out, dataset, split, notes)
    return fits


def copy_other_splits(folder: Path, split: str, out: Path) -> list[str]:
    """Copies the records of all other splits, except those that `out` already has. Returns their names."""
    import json

    from pipelines.records import INDEX, has_split, write_index

    index, copied = json.loads((folder / INDEX).read_text()), []
    for name, content in index["splits"].items():
        if name == split or has_split(out, name):
            continue
        notes = {}
        for shard in content["shards"]:
            for file in (shard, str(Path(shard).with_suffix(".json"))):
                shutil.copy2(folder / file, out / file)
            notes[shard] = json.loads((out / shard).with_suffix(".json").read_text())
        write_index(out, index["dataset"], name, notes)
        copied.append(name)
    return copied


def write_table(fits: list, path: Path) -> None:
    """Writes a line per sample: error, angle, IoU of mesh and mask, where the mask is from, why it has no mesh."""
    from hiu_tf.atomic import written_whole

    with written_whole(path) as scratch, scratch.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("sample", "error_2d", "angle_deg", "mask_iou", "mask_from", "refused"))
        for fit in fits:
            numbers = f"{fit.error_2d:.4f}", f"{fit.angle_deg:.1f}", f"{fit.mask_iou:.3f}"
            writer.writerow((fit.sample.sample_id, *numbers, fit.mask_from, fit.refused))


def write_poses(fits: list, path: Path) -> None:
    """Writes pose [N, 15, 3] and rotation [N, 3, 3] of the kept fits, as right hands (left ones mirrored)."""
    from hiu_tf.atomic import written_whole

    kept = [fit.sample for fit in fits if not fit.refused]
    mirrored = np.linalg.det([sample.rotation for sample in kept] or np.zeros((0, 3, 3))) < 0
    flips = np.where(mirrored[:, np.newaxis], [-1.0, 1, 1], 1.0)[..., np.newaxis]
    pose, rotation = (np.array([getattr(sample, name) for sample in kept]) for name in ("pose", "rotation"))
    with written_whole(path) as scratch, scratch.open("wb") as file:
        np.savez_compressed(file, pose=pose, rotation=(flips * rotation if kept else rotation))


def draw_fit(fit, faces: np.ndarray) -> np.ndarray:
    """Draws the labels beside the fitted mesh, RGB."""

    from hiu_tf.geometry.camera import project
    from hiu_tf.geometry.window import around_box, box_of
    from hiu_tf.pictures import decode_rgb
    from hiu_tf.runtime.crop import cut
    from hiu_tf.runtime.draw import draw_mesh, draw_skeleton
    from pipelines.schema import LEFT

    sample = fit.sample
    picture = decode_rgb(sample.image)
    window = around_box(box_of(sample.joints_2d), 200)
    tile = (255 * cut(picture, window)).astype(np.uint8)
    faces = faces[:, ::-1] if sample.side == LEFT else faces
    mesh = window.to_crop(project(sample.vertices, sample.intrinsics))
    panels = draw_skeleton(tile, window.to_crop(sample.joints_2d)), draw_mesh(tile, sample.vertices, mesh, faces)
    return np.concatenate(panels, axis=1)


def write_fits(fits: list, faces: np.ndarray, count: int, path: Path) -> None:
    """Draws a sheet: kept fits evenly spread over the set, then those with the largest error."""
    import cv2

    from hiu_tf.atomic import written_whole
    from hiu_tf.programs._sheet import tiles

    kept = [fit for fit in fits if not fit.refused]
    half = max(count // 2, 1)
    spread = range(0, len(kept), max(1, len(kept) // half))[:half]
    worst = sorted(set(range(len(kept))) - set(spread), key=lambda number: -kept[number].error_2d)[:half]
    shown = [kept[number] for number in (*spread, *worst)]
    if shown:
        sheet = tiles([draw_fit(fit, faces) for fit in shown], columns=4)
        with written_whole(path) as scratch:
            scratch.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def print_summary(fits: list) -> None:
    """Prints how many fits were kept, how good they are, and why others were refused."""
    kept = [fit for fit in fits if not fit.refused]
    print(f"{len(kept)} of {len(fits)} hands have a mesh ({len(kept) / len(fits):.0%})")
    if kept:
        error, angle = np.array([fit.error_2d for fit in kept]), np.array([fit.angle_deg for fit in kept])
        print(f"  projected joints: median {np.median(error):.4f} of the box, 90 % below {np.quantile(error, 0.9):.4f}")
        print(f"  angle of bones: median {np.median(angle):.1f} degrees, 90 % below {np.quantile(angle, 0.9):.1f}")
        masks = np.array([fit.mask_iou for fit in kept if not np.isnan(fit.mask_iou)])
        if len(masks):
            print(
                f"  IoU of mesh and mask: mean {masks.mean():.3f}, 90 % above {np.quantile(masks, 0.1):.3f} ({len(masks)} masks)"
            )
    sources = Counter(fit.mask_from for fit in fits if not fit.refused)
    words = {
        "given": "given",
        "predicted": "predicted",
        "mesh": "silhouettes of the mesh",
        "": "none: the mesh does not confirm the predicted one",
    }
    print(f"  masks: {', '.join(f'{sources[key]} {words[key]}' for key in words if sources[key]) or 'none'}")
    # Without their numbers, but with "2D".
    reasons = Counter(re.sub(r"(?<![\w.])\d+(\.\d+)?(?!\w)", "", fit.refused) for fit in fits)
    for words, number in reasons.items():
        if words:
            print(f"  {number} without: {' '.join(words.split())}")


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, help="folder of records with 2D and 3D joints")
    parser.add_argument("--split", default="train", help="which split to fit (default: train)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the records with meshes")
    parser.add_argument("--hand", default="procedural", help="hand model: procedural, or an .npz (default: procedural)")
    parser.add_argument(
        "--measured", action="store_true", help="3D labels are measured: their lengths count, not directions alone"
    )
    parser.add_argument(
        "--predict-masks",
        action="store_true",
        help="predict the masks of hands without one; kept where the mesh confirms them",
    )
    parser.add_argument(
        "--model",
        help="of --predict-masks: .tflite or .onnx file, SavedModel folder, or hiu_edge (default: hiu_mobile)",
    )
    parser.add_argument("--sheet", type=positive, default=48, help="how many fits fits.png shows (default 48)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    if args.model and not args.predict_masks:
        parser.error("--model is the one of --predict-masks: give both or none")
    return args


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from hiu_tf.atomic import locked
    from hiu_tf.errors import UserError
    from hiu_tf.hand.load import load_hand
    from hiu_tf.runtime.predictor import Predictor
    from pipelines.datasets.synthetic.scene import POSES

    hand = load_hand(args.hand)
    predictor = Predictor(args.model, fit=False) if args.predict_masks else None
    if predictor and "mask" not in predictor.card["outputs"]:
        raise UserError(f"--predict-masks: {args.model} predicts no masks, give a model with the task mask")
    args.out.mkdir(parents=True, exist_ok=True)
    with locked(args.out, "hiu fit"):
        fits = fit_records(args.records, args.split, args.out, hand, args.measured, predictor)
        copied = copy_other_splits(args.records, args.split, args.out)
        write_table(fits, args.out / "fits.csv")
        write_poses(fits, args.out / POSES)
        write_fits(fits, hand.faces, args.sheet, args.out / "fits.png")
    print_summary(fits)
    print(f"written to {args.out}" + (f"; copied as they are: {', '.join(copied)}" if copied else ""))
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
