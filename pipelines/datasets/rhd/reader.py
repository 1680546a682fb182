"""RHD, Rendered Hand Pose (data card: README.md)."""

import pickle
from pathlib import Path

import numpy as np

from hiu_tf.conventions.skeleton import NUM_JOINTS, reorder
from pipelines.datasets import DataSetError, Split, files_stamp
from pipelines.schema import LEFT, RIGHT, LeftOut
from pipelines.store import read_picture, store

SPLITS = {"train": "training", "test": "evaluation"}
_SIZE = 320
#: For each hand: its first and last class in the mask file (inclusive), and its rows of the 42 points.
_CLASSES = {LEFT: (2, 17), RIGHT: (18, 33)}
_ROWS = {LEFT: slice(0, NUM_JOINTS), RIGHT: slice(NUM_JOINTS, 2 * NUM_JOINTS)}
_NAMES = {LEFT: "left", RIGHT: "right"}


def open_split(source: str, split: str, hand: str = "larger", min_visible: str = "1") -> Split:
    """RHD_published_v2's training (train) or evaluation (test) pictures.

    Args:
      source: the folder that holds training/ and evaluation/.
      split: train or test.
      hand: "larger": one sample per picture, the hand with more pixels in the mask (the evaluation's
        rule; in a tie the right hand); "both": one sample per hand.
      min_visible: hands with fewer visible joints are left out.
    """
    if hand not in ("larger", "both"):
        raise DataSetError(f"rhd: the option hand is {hand!r}, expected larger or both")
    if not min_visible.isdecimal():
        raise DataSetError(f"rhd: the option min_visible is {min_visible!r}, expected a whole number")
    folder = Path(source) / SPLITS[split]
    path = folder / f"anno_{SPLITS[split]}.pickle"
    annotations = _load(path)
    sides = (None,) if hand == "larger" else (LEFT, RIGHT)
    keys = [
        f"{number:05d}" + (f"_{_NAMES[side]}" if side is not None else "") for number in annotations for side in sides
    ]

    def load(key):
        number, _, name = key.partition("_")
        side = {"": None, "left": LEFT, "right": RIGHT}[name]
        return _sample(folder, int(number), key, annotations[int(number)], side, int(min_visible))

    return Split("rhd", keys, load, f"{hand} {min_visible} {files_stamp([path])}")


def _load(path):
    try:
        with open(path, "rb") as file:
            annotations = _PlainUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise DataSetError(f"rhd: cannot read {path}: {error.strerror}") from error
    except Exception as error:  # a damaged pickle raises anything
        raise DataSetError(f"rhd: {path} is no annotation file of RHD: {error}") from error
    if not isinstance(annotations, dict) or not annotations or not all(isinstance(key, int) for key in annotations):
        raise DataSetError(f"rhd: {path} holds no dictionary of numbered samples")
    return dict(sorted(annotations.items()))


class _PlainUnpickler(pickle.Unpickler):
    """Unpickler that only builds arrays, because a pickle from the internet may name any function."""

    _ALLOWED = ("_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer")

    def find_class(self, module, name):
        if module.split(".")[0] == "numpy" and name in self._ALLOWED:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")


def _sample(folder, number, key, annotation, side, min_visible):
    mask = read_picture(folder / "mask" / f"{number:05d}.png", "unchanged")
    mask = mask if mask.ndim == 2 else mask[..., 0]  # some copies of the set have three equal channels
    parts = {which: (mask >= low) & (mask <= high) for which, (low, high) in _CLASSES.items()}
    if side is None:
        side = LEFT if parts[LEFT].sum() > parts[RIGHT].sum() else RIGHT
    flat = reorder(np.asarray(annotation["uv_vis"], np.float32)[_ROWS[side]], "rhd")
    deep = reorder(np.asarray(annotation["xyz"], np.float32)[_ROWS[side]], "rhd")
    visible = flat[:, 2] > 0
    if visible.sum() < min_visible:
        raise LeftOut(f"rhd/{key}: {int(visible.sum())} joints of the {_NAMES[side]} hand are visible")
    inside = ((flat[:, :2] >= 0) & (flat[:, :2] <= _SIZE - 1)).all(axis=1)
    return store(
        folder / "color" / f"{number:05d}.png",
        (parts[side] * 255).astype(np.uint8),
        dataset="rhd",
        sample_id=key,
        group=f"{number:05d}",
        side=side,
        visible=visible.astype(np.float32),
        joints_2d=flat[:, :2],
        joints_2d_weight=inside.astype(np.float32),
        joints_3d=deep,
        joints_3d_weight=np.ones(NUM_JOINTS, np.float32),
        intrinsics=np.asarray(annotation["K"], np.float32),
    )
