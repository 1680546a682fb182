"""HIU-Data (data card: README.md)."""

import zlib
from pathlib import Path

import numpy as np

from hiu_tf.conventions.skeleton import NUM_JOINTS
from pipelines.datasets import DataSetError, Split, files_stamp, read_json
from pipelines.schema import LEFT, RIGHT, UNKNOWN, LeftOut
from pipelines.store import read_picture, store

#: Name -> list file of the older layout.
SPLITS = {"train": "train.lst", "test": "val.lst"}
#: The released pictures have no split: one in eleven is for testing, by a hash of its name (30,000 : 3,000).
_TEST_SHARE = 1 / 11
_PICTURES, _MASKS = (".jpg", ".png"), ("_mask.png", "_mask.jpg")
#: First coordinate of points that mean "no such point".
_ODD_X = 2.0


def open_split(source: str, split: str, side: str = "unknown") -> Split:
    """Opens the released flat folder, or one in the older layout with train.lst and val.lst.

    Args:
      source: hiu_dmtl_data, to_cv_community, or a folder in the older layout.
      split: train or test.
      side: "unknown" ignores the sides of the released labels, some of which are wrong; "label" uses them.
    """
    if side not in ("unknown", "label"):
        raise DataSetError(f"hiu_data: the option side is {side!r}, expected unknown or label")
    folder = Path(source) / "to_cv_community" if (Path(source) / "to_cv_community").is_dir() else Path(source)
    if not folder.is_dir():
        raise DataSetError(f"hiu_data: {folder} does not exist")
    listed = folder / SPLITS[split]
    if listed.is_file():
        keys = [line.strip() for line in listed.read_text().splitlines() if line.strip()]
        load = lambda key: _older(folder, key)
    else:
        names = {path.stem for path in folder.iterdir() if path.suffix in _PICTURES and not path.stem.endswith("_mask")}
        names |= {path.stem for path in folder.glob("*.json")}
        chosen = sorted(name for name in names if _is_test(name) == (split == "test"))
        keys = [f"{name}/{half}" for name in chosen for half in (0, 1)]
        load = lambda key: _released(folder, *key.split("/"), trust=side == "label")
    return Split("hiu_data", keys, load, f"{side} {files_stamp(folder.glob('*.json'))}")


def _is_test(name):
    return zlib.crc32(name.encode()) / 2**32 < _TEST_SHARE


def _released(folder, name, half, trust):
    """Reads one hand: half 0 is the right one according to the author, half 1 the left; hand_type tells which exist."""
    half, label = int(half), _label(folder, name)
    present = [bool(flag) for flag in label["hand_type"]]
    if not present[half]:
        raise LeftOut(f"hiu_data/{name}: no hand in half {half}")
    points = np.asarray(label["pts2d_2hand"], np.float32).reshape(2, NUM_JOINTS, -1)[half, :, :2]
    is_sure = trust and bool(np.all(label.get("hand_type_valid", 1)))
    # The mask of a picture with two hands may contain both, so that it is not used as a label.
    mask = None if all(present) else _mask(folder, name)
    return _sample(folder, name, f"{name}/{half}", points, points[:, 0] != _ODD_X, mask, half if is_sure else UNKNOWN)


def _older(folder, name):
    label = _label(folder, name)
    rows = np.asarray(label["key_point_2ds"], np.float32)[:NUM_JOINTS]
    side = LEFT if label["left"] else RIGHT
    return _sample(folder, name, name, rows[:, :2], rows[:, 2] >= 1, _mask(folder, name), side)


def _label(folder, name):
    return read_json(folder / f"{name}.json", f"hiu_data/{name}")


def _mask(folder, name):
    path = next((folder / f"{name}{end}" for end in _MASKS if (folder / f"{name}{end}").is_file()), None)
    return None if path is None else read_picture(path, "grey")


def _sample(folder, name, key, points, labelled, mask, side):
    path = next((folder / f"{name}{end}" for end in _PICTURES if (folder / f"{name}{end}").is_file()), None)
    if path is None:
        raise DataSetError(f"hiu_data/{name}: {folder} holds no picture {name}.jpg or .png")
    height, width = read_picture(path).shape[:2]
    inside = ((points >= 0) & (points <= [width - 1, height - 1])).all(axis=1)
    weight = (labelled & inside).astype(np.float32)
    return store(
        path, mask, dataset="hiu_data", sample_id=key, group=name, side=side, joints_2d=points, joints_2d_weight=weight
    )
