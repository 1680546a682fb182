"""FreiHAND v2 (data card: README.md)."""

from pathlib import Path

import numpy as np

from hiu_tf.conventions.skeleton import NUM_JOINTS
from pipelines.datasets import DataSetError, Split, files_stamp, read_json
from pipelines.schema import RIGHT
from pipelines.store import read_picture, store

SPLITS = {"train": "training", "test": "evaluation"}
#: Versions of the pictures of a label, stored in consecutive blocks: green screen, then three backgrounds.
VERSIONS = ("gs", "hom", "sample", "auto")
_SIZE = 224
#: Box of test hands without a label: they are roughly in the middle, in half the picture.
_MIDDLE_BOX = (0.25 * _SIZE, 0.25 * _SIZE, 0.5 * _SIZE, 0.5 * _SIZE)


def open_split(source: str, split: str, version: str = "all") -> Split:
    """FreiHAND's training (train) or evaluation (test) pictures.

    Args:
      source: folder FreiHAND_pub_v2; for labels of the test split unpack FreiHAND_pub_v2_eval.zip there too.
      split: train or test.
      version: which of the four pictures of a training label to use: gs, hom, sample, auto or all. The test
        split has one picture per label.
    """
    if version not in (*VERSIONS, "all"):
        raise DataSetError(f"freihand: the option version is {version!r}, expected all or one of {', '.join(VERSIONS)}")
    folder, name = Path(source), SPLITS[split]
    cameras, joints = _json(folder, name, "K"), _json(folder, name, "xyz", required=split == "train")
    meshes = _json(folder, name, "verts", required=False) if split == "test" else None
    count = len(cameras)
    for field, values in (("xyz", joints), ("verts", meshes)):
        if values is not None and len(values) != count:
            raise DataSetError(f"freihand: {name}_{field}.json has {len(values)} entries, {name}_K.json has {count}")
    blocks = [VERSIONS.index(version)] if version != "all" else range(len(VERSIONS))
    blocks = blocks if split == "train" else [0]
    keys = [f"{block * count + number:08d}" for block in blocks for number in range(count)]

    def load(key):
        number = int(key) % count  # there is one label and mask for four pictures
        labels = [None if values is None else np.asarray(values[number], np.float32) for values in (joints, meshes)]
        return _sample(folder, name, key, number, np.asarray(cameras[number], np.float32), *labels)

    stamp = files_stamp(folder / f"{name}_{field}.json" for field in ("K", "xyz", "verts"))
    return Split("freihand", keys, load, f"{version} {stamp}")


def _json(folder, name, field, required=True):
    path = folder / f"{name}_{field}.json"
    if not path.is_file() and not required:
        return None
    content = read_json(path, "freihand")
    if not isinstance(content, list) or not content:
        raise DataSetError(f"freihand: {path} holds no list")
    return content


def _sample(folder, name, key, number, camera, joints, vertices):
    labels = {"box": np.array(_MIDDLE_BOX, np.float32)}
    if joints is not None:
        pixels = joints @ camera.T
        ones = np.ones(NUM_JOINTS, np.float32)
        labels = {
            "joints_2d": pixels[:, :2] / pixels[:, 2:],
            "joints_2d_weight": ones,
            "joints_3d": joints,
            "joints_3d_weight": ones,
        }
    return store(
        folder / name / "rgb" / f"{key}.jpg",
        _mask(folder / name, number),
        dataset="freihand",
        sample_id=key,
        group=f"{number:08d}",
        side=RIGHT,
        intrinsics=camera,
        vertices=np.zeros((0, 3), np.float32) if vertices is None else vertices,
        **labels,
    )


def _mask(folder, number):
    """Reads a mask. Training: a JPEG with noise at the edges. Test: the segmentation of the evaluation zip, if any."""
    if folder.name == SPLITS["train"]:
        return read_picture(folder / "mask" / f"{number:08d}.jpg", "grey")
    for kind in ("png", "jpg"):
        path = folder / "segmap" / f"{number:08d}.{kind}"
        if path.is_file():
            return ((read_picture(path, "grey") > 0) * 255).astype(np.uint8)
    return None
