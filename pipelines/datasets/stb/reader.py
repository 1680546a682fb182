"""STB, Stereo Hand Pose Tracking Benchmark (data card: README.md)."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.spatial.transform import Rotation

from hiu_tf.conventions.skeleton import NUM_JOINTS, Joint, reorder
from pipelines.datasets import DataSetError, Split, files_stamp
from pipelines.schema import LEFT
from pipelines.store import store

_SCENES = ("Counting", "Random")
SPLITS = {
    "train": [f"B{number}{scene}" for number in range(2, 7) for scene in _SCENES],
    "test": [f"B1{scene}" for scene in _SCENES],
}
#: View -> name of its pictures, label file, K (fx, fy, cx, cy), from the labels' frame to the view's (mm).
_BUMBLEBEE = (822.79041, 822.79041, 318.47345, 250.31296)
_BASELINE_MM = 120.054
_DEPTH_TO_COLOUR = Rotation.from_rotvec([0.00531, -0.01196, 0.00301]).as_matrix()
_DEPTH_OFFSET_MM = np.array([-24.0381, -0.4563, -1.2326])
VIEWS = {
    "SK": ("SK_color", "SK", (607.92271, 607.88192, 314.78337, 236.42484), lambda x: (x - _DEPTH_OFFSET_MM) @ _DEPTH_TO_COLOUR),
    "BB_left": ("BB_left", "BB", _BUMBLEBEE, lambda x: x),
    "BB_right": ("BB_right", "BB", _BUMBLEBEE, lambda x: x - [_BASELINE_MM, 0, 0]),
}  # fmt: skip


def _beyond(points, roots, factor):
    """Extrapolates from each finger root through the palm's centre by `factor`; mean over the roots."""
    base = points[roots]
    return (base + factor * (points[0] - base)).mean(axis=0)


#: Ways to compute the wrist from the palm's centre (point 0) and the finger roots; the card says who uses which.
WRISTS = {
    "zimmermann": lambda points: _beyond(points, [Joint.RING1], 2.0),
    "xiang": lambda points: _beyond(points, [Joint.MIDDLE1], 2.0),
    "bihand": lambda points: _beyond(points, [Joint.MIDDLE1], 2.2),
    "mean": lambda points: _beyond(points, [Joint.INDEX1, Joint.MIDDLE1, Joint.RING1, Joint.LITTLE1], 2.25),
    "palm": lambda points: points[0],
}


def open_split(source: str, split: str, view: str = "SK", wrist: str = "zimmermann") -> Split:
    """Sequences B2-B6 (train) or B1 (test).

    Args:
      source: the folder that holds images/ and labels/.
      split: train or test.
      view: SK (the colour camera), BB_left, BB_right, or several joined by +.
      wrist: how the wrist is computed from the palm's centre, one of WRISTS; "palm" keeps the centre.
    """
    views = view.split("+")
    for value, known, option in [(v, VIEWS, "view") for v in views] + [(wrist, WRISTS, "wrist")]:
        if value not in known:
            raise DataSetError(f"stb: the option {option} is {value!r}, expected one of {', '.join(known)}")
    folder = Path(source)
    labels = {(s, v): folder / "labels" / f"{s}_{VIEWS[v][1]}.mat" for s in SPLITS[split] for v in views}
    missing = sorted({str(path) for path in labels.values() if not path.is_file()})
    if missing:
        raise DataSetError(f"stb: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    keys = [f"{s}/{v}/{n}" for (s, v), path in labels.items() for n in range(len(_joints_mm(path)))]

    def load(key):
        sequence, name, number = key.split("/")
        return _sample(folder, key, sequence, name, int(number), _joints_mm(labels[sequence, name]), wrist)

    return Split("stb", keys, load, f"{wrist} {files_stamp(labels.values())}")


@lru_cache(maxsize=24)
def _joints_mm(path):
    """[frames, 21, 3] of a label file, its own order."""
    try:
        joints = loadmat(path)["handPara"].transpose(2, 1, 0)
    except Exception as error:  # SciPy raises many kinds on damaged files
        raise DataSetError(f"stb: {path} is no label file of STB: {error!r}") from error
    if joints.shape[1:] != (NUM_JOINTS, 3):
        raise DataSetError(f"stb: {path}: handPara is {joints.shape[::-1]}, expected (3, {NUM_JOINTS}, frames)")
    return joints


def _sample(folder, key, sequence, view, number, joints_mm, wrist):
    pictures, _, (fx, fy, cx, cy), to_view = VIEWS[view]
    joints = reorder(to_view(joints_mm[number]), "stb") / 1000
    joints[0] = WRISTS[wrist](joints)
    camera = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    pixels = joints @ camera.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    return store(
        folder / "images" / sequence / f"{pictures}_{number}.png",
        dataset="stb",
        sample_id=key,
        group=f"{sequence}/{number}",
        side=LEFT,
        joints_2d=pixels,
        joints_2d_weight=np.ones(NUM_JOINTS, np.float32),
        joints_3d=joints,
        joints_3d_weight=np.ones(NUM_JOINTS, np.float32),
        intrinsics=camera,
    )
