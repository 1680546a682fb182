"""CMU hand labels: MPII+NZSL with manual labels, and hand143 of the Panoptic studio (data card: README.md)."""

from pathlib import Path

import numpy as np

from hiu_tf.conventions.skeleton import NUM_JOINTS
from hiu_tf.geometry.window import SCALE
from pipelines.datasets import DataSetError, Split, files_stamp, read_json
from pipelines.schema import LEFT, RIGHT
from pipelines.store import store

SPLITS = {"train": "manual_train", "test": "manual_test", "hand143": "hand143_panopticdb"}
_HAND143 = "hands_v143_14817.json"
#: Side of the test split's crop, relative to the head (Simon et al. 2017). Evaluation cuts SCALE times the box.
_CROP = 2.2 * 0.7


def open_split(source: str, split: str) -> Split:
    """Manual labels (train, test) or hand143.

    Args:
      source: the folder that holds manual_train/ and manual_test/, or hand143_panopticdb/, or hand_labels/.
      split: train, test or hand143.
    """
    folder = next((f for f in (Path(source), Path(source) / "hand_labels") if (f / SPLITS[split]).is_dir()), None)
    if folder is None:
        raise DataSetError(f"cmu: {source} holds no folder {SPLITS[split]}")
    folder = folder / SPLITS[split]
    return _hand143(folder) if split == "hand143" else _manual(folder, split)


def _manual(folder, split):
    names = sorted(path.stem for path in folder.glob("*.json"))

    def load(key):
        label = read_json(folder / f"{key}.json", f"cmu/{key}")
        points, weight = _points(label["hand_pts"])
        box = _head_box(label) if split == "test" else np.zeros(4, np.float32)
        side = LEFT if label["is_left"] else RIGHT
        if key[-2:] in ("_l", "_r") and side != (LEFT if key.endswith("_l") else RIGHT):
            raise DataSetError(f"cmu/{key}: is_left is {label['is_left']}, the file's name says {key[-1]}")
        return store(
            folder / f"{key}.jpg",
            dataset="cmu", sample_id=key, group=key.removesuffix("_l").removesuffix("_r"), side=side, joints_2d=points, joints_2d_weight=weight, box=box,
        )  # fmt: skip

    return Split("cmu", names, load, files_stamp(folder.glob("*.json")))


def _hand143(folder):
    entries = read_json(folder / _HAND143, "cmu")
    entries = entries.get("root") if isinstance(entries, dict) else None
    if not entries or not isinstance(entries, list):
        raise DataSetError(f"cmu: {folder / _HAND143} holds no list 'root'")
    keys = [f"{number:05d}" for number in range(len(entries))]

    def load(key):
        entry = entries[int(key)]
        points, weight = _points(entry["joint_self"])
        return store(
            folder / entry["img_paths"],
            dataset="cmu", sample_id=f"hand143_{key}", side=RIGHT, joints_2d=points, joints_2d_weight=weight,
        )  # fmt: skip

    return Split("cmu", keys, load, files_stamp([folder / _HAND143]))


def _points(rows):
    """Points [21, 2] and weights: 0 for unlabelled points, which the files mark in two ways."""
    rows = np.asarray(rows, np.float32)
    if rows.shape != (NUM_JOINTS, 3):
        raise DataSetError(f"cmu: points have shape {rows.shape}, expected ({NUM_JOINTS}, 3)")
    weight = (rows[:, 2] > 0) & (rows[:, :2] != 0).any(axis=1)
    return rows[:, :2], weight.astype(np.float32)


def _head_box(label):
    side = _CROP / SCALE * float(label["head_size"])
    if not side > 0:
        raise DataSetError(f"cmu: head_size is {label['head_size']}, the test crop needs it above 0")
    x, y = label["hand_box_center"][:2]
    return np.array([x - side / 2, y - side / 2, side, side], np.float32)
