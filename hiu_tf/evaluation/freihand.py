"""FreiHAND's official protocol: the twelve metrics of its script, under their names (docs/evaluation.md).

Joints and vertices are in metres, camera frame. Mean errors are in centimetres, as in the script. PCK counts
error <= threshold at 100 thresholds from 0 to 5 cm. Aligned metrics follow a similarity that may reflect, fitted to
joints and to meshes separately. F-scores are at 5 and 15 mm.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hiu_tf.atomic import written_whole
from hiu_tf.conventions.skeleton import MODEL_TO_KEYPOINTS, NUM_JOINTS
from hiu_tf.errors import UserError
from hiu_tf.geometry.alignment import is_mirrored, procrustes
from hiu_tf.hand.model import HandModel
from hiu_tf.metrics.mesh import f_scores
from hiu_tf.metrics.points import distances, pck_auc
from hiu_tf.pictures import read_picture

NUM_VERTICES = 778
WORDS = (
    "evaluation split, right hands; mean errors in cm; PCK (error <= t) at 100 t from 0 to 5 cm, trapezoid rule, mean over points; "
    "al_: after a similarity that may mirror, of joints and meshes apart; F-scores of vertices nearer than 5 and 15 mm"
)
_RANGE_M, _STEPS = 0.05, 100
_F_MM = (5, 15)
_BATCH = 256
_BOX, _BONE = 130, (9, 10)  # side of the box in pixels around the picture's middle; the bone whose length is given


def official_metrics(predicted: dict, labelled: dict, progress=lambda batches: batches) -> dict[str, float]:
    """Computes the twelve metrics.

    Args:
      predicted, labelled: "xyz" [N, 21, 3] and "verts" [N, 778, 3] each.
      progress: wraps the iteration over batches, for a progress bar.
    """
    errors, scores = {}, {}
    starts = range(0, len(labelled["xyz"]), _BATCH)
    for start in progress(starts):
        part = slice(start, start + _BATCH)
        for name, key in (("xyz", "xyz"), ("mesh", "verts")):
            truth = labelled[key][part]
            for aligned, found in (("", predicted[key][part]), ("al_", procrustes(predicted[key][part], truth, True))):
                ones = np.ones(truth.shape[:2])
                errors.setdefault(f"{name}_{aligned}", []).append(distances(found, truth, ones))
                if key == "verts":
                    f = f_scores(found, truth, tuple(mm / 1000 for mm in _F_MM))
                    scores.setdefault(aligned, []).append(f)
    metrics = {}
    for name, parts in errors.items():
        together = np.concatenate(parts)
        metrics[f"{name}mean3d"] = float(together.mean() * 100)
        metrics[f"{name}auc3d"] = pck_auc(together, 0.0, _RANGE_M, _STEPS)
    for aligned, parts in scores.items():
        for mm, column in zip(_F_MM, np.concatenate(parts).mean(axis=0)):
            metrics[f"f_{aligned}score_{mm}"] = float(column)
    return {name: metrics[name] for name in NAMES}


#: Names of the metrics in the order of the official scores.txt.
NAMES = (
    "xyz_mean3d", "xyz_auc3d", "xyz_al_mean3d", "xyz_al_auc3d", "mesh_mean3d", "mesh_auc3d", "mesh_al_mean3d",
    "mesh_al_auc3d", "f_score_5", "f_al_score_5", "f_score_15", "f_al_score_15",
)  # fmt: skip


def mirrored_share(predicted: dict, labelled: dict) -> float:
    """Share of the samples whose mirror image fits the label better; near 1 means that predictions are mirrored."""
    return float(is_mirrored(predicted["xyz"], labelled["xyz"]).mean())


def read_reference(folder: str | Path) -> dict[str, np.ndarray]:
    """Reads the labels of the evaluation zip: evaluation_xyz.json and evaluation_verts.json in a folder."""
    names = {"xyz": NUM_JOINTS, "verts": NUM_VERTICES}
    return {key: _points(_read(Path(folder) / f"evaluation_{key}.json"), count, f"{folder}/evaluation_{key}.json")
            for key, count in names.items()}  # fmt: skip


def read_predictions(path: str | Path, samples: int) -> dict[str, np.ndarray]:
    """Reads a pred.json ([joints, meshes]) or an .npz with xyz and verts, and checks the number of samples."""
    path = Path(path)
    if path.suffix == ".npz":
        try:
            with path.open("rb") as file, np.load(file) as arrays:
                parts = [arrays["xyz"], arrays["verts"]]
        except Exception as error:  # zipfile, zlib and NumPy raise many kinds of exceptions on damaged files
            raise UserError(f"{path} holds no arrays xyz and verts: {error}") from error
    else:
        parts = _read(path)
        if not isinstance(parts, list) or len(parts) != 2:
            raise UserError(f"{path} holds no pair [joints, meshes], as FreiHAND's pred.json does")
    found = {
        "xyz": _points(parts[0], NUM_JOINTS, f"{path}: joints"),
        "verts": _points(parts[1], NUM_VERTICES, f"{path}: meshes"),
    }
    for key, values in found.items():
        if len(values) != samples:
            raise UserError(f"{path}: {key} has {len(values)} samples, the labels have {samples}")
    return found


#: Where the joints of a prediction come from, in words.
WAYS = {
    "chain": "posed along the kinematic chain (supplement 1.1)",
    "regressed": "regressed from the posed mesh, tips as vertices, as FreiHAND's labels",
}


def write_predictions(
    predictor, folder: str | Path, target: str | Path, progress=lambda numbers: numbers, joints: str = "chain"
) -> int:
    """Predicts FreiHAND's evaluation pictures and writes the server's pred.json. Returns the number of pictures.

    Every picture shows a right hand roughly in the middle. K and the length of one bone are given; the official
    rules allow their use, and predictions are scaled to that length.

    Args:
      predictor: a runtime.Predictor whose hand has MANO's vertices.
      folder: contains evaluation/rgb, evaluation_K.json and evaluation_scale.json.
      joints: a key of `WAYS`; "regressed" needs the predictor's hand model. The two differ by millimetres.

    Raises:
      UserError: the predictor's hand has another mesh or is not known, or a file is missing.
    """
    if joints == "regressed" and predictor.hand is None:
        raise UserError("regressed joints need the hand model of the network: --hand FILE.npz of hiu convert-mano")
    folder, points = Path(folder), []
    cameras, scales = (_read(folder / f"evaluation_{name}.json") for name in ("K", "scale"))
    meshes = []
    for number in progress(range(len(cameras))):
        path = folder / "evaluation" / "rgb" / f"{number:08d}.jpg"
        try:
            picture = read_picture(path)
        except (UserError, OSError) as error:
            raise UserError(f"{path}: {error}") from error
        margin = (picture.shape[1] - _BOX) / 2
        found = predictor.predict(picture, (margin, margin, _BOX, _BOX), "right", cameras[number])[0]
        if len(found.vertices) != NUM_VERTICES:
            raise UserError(
                f"the model's hand has {len(found.vertices)} vertices; FreiHAND's server takes MANO's {NUM_VERTICES}: "
                "train with hand: FILE.npz of hiu convert-mano"
            )
        found_joints = found.joints_3d if joints == "chain" else regressed_joints(predictor.hand, found.vertices)
        scale = scales[number] / np.linalg.norm(found_joints[_BONE[0]] - found_joints[_BONE[1]])
        points.append((scale * found_joints).round(6).tolist())
        meshes.append((scale * found.vertices).round(6).tolist())
    with written_whole(target) as scratch:
        scratch.write_text(json.dumps([points, meshes]))
    return len(points)


def regressed_joints(hand: HandModel, vertices: np.ndarray) -> np.ndarray:
    """Key points [21, 3] as FreiHAND's labels have them: the regressor applied to the posed mesh [V, 3], tip vertices."""
    return np.concatenate([hand.joint_regressor @ vertices, vertices[hand.tips]])[MODEL_TO_KEYPOINTS]


def _read(path):
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}") from error


def _points(values, count, where):
    try:
        points = np.asarray(values, np.float64)
    except (ValueError, TypeError) as error:
        raise UserError(f"{where}: not every sample has {count} points of 3 numbers") from error
    if points.ndim != 3 or points.shape[1:] != (count, 3):
        raise UserError(f"{where}: shape {points.shape}, expected (samples, {count}, 3)")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))
    if len(bad):
        raise UserError(f"{where}: sample {bad[0]} holds a value that is not finite ({len(bad)} such samples)")
    return points
