"""Dexter+Object (data card: README.md)."""

from pathlib import Path

import numpy as np

from hiu_tf.conventions.skeleton import NUM_JOINTS, TIPS
from pipelines.datasets import DataSetError, Split, files_stamp
from pipelines.schema import LEFT, LeftOut
from pipelines.store import store

SEQUENCES = ("Grasp1", "Grasp2", "Occlusion", "Pinch", "Rigid", "Rotate")
#: The set has no split of its own: the paper trains on its pictures without labels and tests on the labels.
SPLITS = {"train": SEQUENCES, "test": SEQUENCES}
_INVALID = 32001
#: Depth camera (x right, y down) -> colour camera, mm, and the colour camera's K.
_TO_COLOUR = np.array(
    [[0.9999, 0.0034, 0.0161, 19.0473], [-0.0033, 1, -0.0079, -1.8514], [-0.0162, 0.0079, 0.9998, -4.7501]]
)
_CAMERA = np.array([[587.45209, 0, 325.0], [0, 600.67456, 249.0], [0, 0, 1]])
#: Side of the square around the tips that is used as the hand's box, metres at the tips' depth.
_HAND_M = 0.18


def open_split(source: str, split: str, labels: str = "") -> Split:
    """All frames of the six sequences.

    Args:
      source: the folder that holds data/, or the sequences.
      split: train or test, the same frames.
      labels: prefix of the 3D label files: "my_" reads the corrected my_<Sequence>3D.txt beside them.
    """
    folder = Path(source) / "data" if (Path(source) / "data").is_dir() else Path(source)
    frames, files = {}, []
    for sequence in SPLITS[split]:
        path = folder / sequence / "annotations" / f"{labels}{sequence}3D.txt"
        tips, pictures = _tips_mm(path), sorted((folder / sequence / "color").glob("*.bmp"))
        if len(tips) != len(pictures):
            raise DataSetError(f"dexter_object: {path} has {len(tips)} lines for {len(pictures)} pictures in color/")
        frames |= {f"{sequence}/{picture.stem}": (picture, tip) for picture, tip in zip(pictures, tips)}
        files.append(path)

    def load(key):
        return _sample(key, *frames[key])

    return Split("dexter_object", list(frames), load, files_stamp(files))


def _tips_mm(path):
    """The first five fields of each line: x, y, z of the tips, [frames, 5, 3]; the rest are the cuboid's corners."""
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        fields = [[field.split(",") for field in line.split(";")[: len(TIPS)]] for line in lines]
        return np.array(fields, np.float64).reshape(len(lines), len(TIPS), 3)
    except OSError as error:
        raise DataSetError(f"dexter_object: cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataSetError(f"dexter_object: {path}: a line does not hold five fields 'x, y, z;': {error}") from error


def _sample(key, picture, tips_mm):
    known = tips_mm[:, 2] != _INVALID
    if not known.any():
        raise LeftOut(f"dexter_object/{key}: no fingertip is labelled")
    tips = (tips_mm * [-1, -1, 1]) @ _TO_COLOUR[:, :3].T + _TO_COLOUR[:, 3]
    pixels = tips @ _CAMERA.T
    joints_2d, joints_3d, weight = np.zeros((NUM_JOINTS, 2)), np.zeros((NUM_JOINTS, 3)), np.zeros(NUM_JOINTS)
    joints_2d[TIPS[known]] = (pixels[:, :2] / pixels[:, 2:])[known]
    joints_3d[TIPS[known]] = tips[known] / 1000
    weight[TIPS[known]] = 1
    centre = joints_2d[TIPS[known]].mean(axis=0)
    side = _HAND_M * _CAMERA[0, 0] / joints_3d[TIPS[known], 2].mean()
    return store(
        picture,
        dataset="dexter_object",
        sample_id=key,
        side=LEFT,
        joints_2d=joints_2d,
        joints_2d_weight=weight,
        joints_3d=joints_3d,
        joints_3d_weight=weight,
        intrinsics=_CAMERA,
        box=np.array([*(centre - side / 2), side, side]),
    )
