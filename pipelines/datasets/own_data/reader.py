"""Your own data: COCO key points with 21 hand points, optional masks (data card: README.md)."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from hiu_tf.conventions.skeleton import NUM_JOINTS
from hiu_tf.errors import UserError
from pipelines.datasets import DataSetError
from pipelines.schema import SIDES, Sample

#: Larger pictures are scaled down before they are stored: a hand crop needs no more.
MAX_SIDE = 512


def read(source: str, split: str, part: int, parts: int) -> Iterator[Sample]:
    """Yields the annotated hands of SOURCE/SPLIT.json.

    Raises:
      DataSetError: file or field missing or malformed, picture unreadable; the message says which.
    """
    folder = Path(source)
    images, annotations = _load(folder / f"{split}.json")
    name = folder.resolve().name
    for annotation in annotations[part::parts]:
        where = f"own_data: {name}: {split}.json: annotation {annotation.get('id')}"
        try:
            yield _sample(folder, name, images, annotation, where)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise error if isinstance(error, UserError) else DataSetError(f"{where}: {error!r}") from error


def fingerprint(source: str, split: str) -> str:
    """Changes with the annotations, so that records of older ones are not kept."""
    return hashlib.sha256((Path(source) / f"{split}.json").read_bytes()).hexdigest()[:16]


def _load(path):
    try:
        data = json.loads(path.read_text())
        images = {image["id"]: image for image in data["images"]}
        annotations = list(map(dict, data["annotations"]))
    except OSError as error:
        raise DataSetError(f"own_data: cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataSetError(f"own_data: {path} is no COCO key point file: {error!r}") from error
    if not annotations:
        raise DataSetError(f"own_data: {path} has no annotations")
    return images, annotations


def _sample(folder, name, images, annotation, where):
    if annotation.get("image_id") not in images:
        raise DataSetError(f"{where}: image_id {annotation.get('image_id')} is not among the images")
    image = images[annotation["image_id"]]
    points = np.asarray(annotation.get("keypoints", ()), np.float32)
    if points.size != 3 * NUM_JOINTS:
        raise DataSetError(f"{where}: keypoints has {points.size} numbers, expected {3 * NUM_JOINTS} (x, y, v)")
    points = points.reshape(NUM_JOINTS, 3)
    if annotation.get("hand_side") not in SIDES:
        known = ", ".join(str(side) for side in SIDES if side)
        raise DataSetError(f"{where}: hand_side is {annotation['hand_side']!r}, expected one of {known}")
    picture = _read_picture(folder / image["file_name"], cv2.IMREAD_COLOR, where)
    mask = image.get("mask_file") and _read_picture(folder / image["mask_file"], cv2.IMREAD_GRAYSCALE, where)
    picture, mask, scale = _limit_size(picture, mask)
    return Sample(
        dataset=name,
        sample_id=str(annotation["id"]),
        image=_encode(".jpg", picture),
        width=picture.shape[1],
        height=picture.shape[0],
        side=SIDES[annotation.get("hand_side")],
        # COCO's (0, 0) is the corner of the first pixel, ours its centre.
        joints_2d=points[:, :2] * scale - 0.5,
        joints_2d_weight=(points[:, 2] > 0).astype(np.float32),
        mask=b"" if mask is None else _encode(".png", np.where(mask > 127, 255, 0).astype(np.uint8)),
    )


def _read_picture(path, flags, where):
    """The picture upright: OpenCV applies the EXIF rotation itself."""
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise DataSetError(f"{where}: cannot read the picture {path}")
    return picture


def _limit_size(picture, mask):
    height, width = picture.shape[:2]
    scale = min(1.0, MAX_SIDE / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    if mask is not None and mask.shape != picture.shape[:2]:
        mask = cv2.resize(mask, picture.shape[1::-1], interpolation=cv2.INTER_AREA)
    return picture, mask, scale


def _encode(kind, picture):
    return cv2.imencode(kind, picture, [cv2.IMWRITE_JPEG_QUALITY, 95] if kind == ".jpg" else [])[1].tobytes()
