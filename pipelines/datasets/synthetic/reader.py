"""The synthetic data set: pictures rendered on demand."""

import hashlib
from pathlib import Path

import numpy as np

from hiu_tf.hand.procedural import PROCEDURAL_HAND, procedural_hand
from pipelines.datasets import DataSetError, Split
from pipelines.datasets.synthetic.render import render
from pipelines.datasets.synthetic.scene import POSES, sample_scene

#: Name -> first seed.
SPLITS = {"train": 0, "val": 1 << 28, "test": 1 << 29}
_MOST = 1 << 28


def open_split(source: str, split: str, poses: str = "") -> Split:
    """Pictures rendered on demand.

    Args:
      source: number of pictures in the split, as a decimal number.
      split: train, val or test; their scenes are drawn from disjoint ranges of seeds.
      poses: a folder with poses.npz of real hands (hiu fit) in it or below; most hands use these poses.

    Raises:
      DataSetError: source is not a positive number, or there are no poses.
    """
    if not source.isdecimal() or not 1 <= int(source) <= _MOST:
        raise DataSetError(f"synthetic: the source is a number of pictures from 1 to {_MOST}, got {source!r}")
    # Besides the code, the pictures depend only on the hand model.
    stamp = hashlib.sha256(PROCEDURAL_HAND.read_bytes())
    real = _real_poses(Path(poses)) if poses else None
    for array in real or ():
        stamp.update(array.tobytes())
    seeds = range(SPLITS[split], SPLITS[split] + int(source))
    load_many = lambda keys: _render(keys, real)
    return Split("synthetic", seeds, lambda seed: load_many([seed])[0], stamp.hexdigest()[:16], load_many=load_many)


def _render(seeds, real):
    return render([sample_scene(seed, real) for seed in seeds], procedural_hand(), [f"{seed:09d}" for seed in seeds])


def _real_poses(folder):
    """All poses and views below a folder, [N, 15, 3] and [N, 3, 3]."""
    files = sorted(folder.rglob(POSES))
    if not files:
        raise DataSetError(f"synthetic: {folder} has no {POSES} in it or below: hiu fit writes them")
    parts = []
    for file in files:
        try:
            with np.load(file, allow_pickle=False) as data:
                parts.append((data["pose"].astype(np.float32), data["rotation"].astype(np.float32)))
        except Exception as error:  # zipfile, zlib and NumPy raise many kinds of exceptions on damaged files
            raise DataSetError(f"synthetic: {file} cannot be read: fit the hands again ({error})") from error
    poses, views = (np.concatenate(some) for some in zip(*parts))
    if poses.shape[1:] != (15, 3) or views.shape != (len(poses), 3, 3) or not len(poses):
        raise DataSetError(f"synthetic: {folder}: poses have shape {poses.shape}, views {views.shape}")
    return poses, views
