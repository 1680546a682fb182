"""Windows without hands, cut out beside the hands of pictures or drawn, on which a network must predict no hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from hiu_tf.pictures import upright_size
from pipelines.datasets import DataSetError, Split, read_json
from pipelines.datasets.synthetic.backdrop import background
from pipelines.schema import Sample
from pipelines.store import read_picture

#: Maximum share of a hand's box inside a window, and of a window inside a box.
_MOST_COVERED = 0.1
#: Minimum side of a window in pixels, and number of positions tried for each window.
_LEAST_SIDE, _TRIES = 32, 20
#: Maximum side of stored windows; larger ones are scaled down.
_STORED = 256
#: Box stored in place of a hand's: a crop of 1.5 times its size shows the whole window.
_BOX = 1 / 1.5
#: Maximum width and height of a picture.
_LONGEST = 1_000_000
_ALL_ALIKE = 0.25  # share of drawn scenes that are plain or noise


def open_split(source: str, split: str, windows: str = "4", drawn: str = "0") -> Split:
    """Windows of the pictures of SOURCE/SPLIT.json, for each folder of SOURCE (comma-separated), and drawn ones.

    Raises:
      DataSetError: a file is missing or is not a list of hands, or an option is not a number.
    """
    for name, value in (("windows", windows), ("drawn", drawn)):
        if not value.isdecimal():
            raise DataSetError(f"no_hand: {name} takes a whole number, got {value!r}")
    folders = [] if source == "none" else [Path(folder) for folder in source.split(",")]
    pictures = {key: found for folder in folders for key, found in _pictures(folder, split).items()}
    keys = [f"{key}#{n}" for key in pictures for n in range(int(windows)) if _window(key, n, *pictures[key][1:])]
    keys += [f"drawn/{split}#{n}" for n in range(int(drawn))]

    def load(key):
        name, number = key.rsplit("#", 1)
        if name not in pictures:
            return _sample(key, name, _drawn(key))
        path, size, boxes = pictures[name]
        x, y, side = _window(name, int(number), size, boxes)
        return _sample(key, name, read_picture(path)[y : y + side, x : x + side])

    return Split("no_hand", keys, load, hashlib.sha256(str((keys, list(pictures.values()))).encode()).hexdigest()[:16])


def _pictures(folder, split):
    """{folder/id: (path, (width, height), boxes [N, 4])}."""
    path = folder / f"{split}.json"
    data = read_json(path, "no_hand")
    try:
        boxes = {image["id"]: [] for image in data["images"]}
        for hand in data["annotations"]:
            boxes[hand["image_id"]] += [_box(hand), *hand.get("other_hands", ())]
        return {
            f"{folder.resolve().name}/{image['id']}": (
                folder / image["file_name"],
                _size(folder, image),
                np.reshape(np.array(boxes[image["id"]], float), (-1, 4)),
            )
            for image in data["images"]
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataSetError(f"no_hand: {path} is no list of hands with boxes: {error!r}") from error


def _size(folder, image):
    """Width and height; those of the file where the list does not say them."""
    width, height = (image["width"], image["height"]) if "width" in image else upright_size(folder / image["file_name"])
    return _length(width), _length(height)


def _length(value):
    """Checks a picture's width or height."""
    if not 1 <= value <= _LONGEST:
        raise ValueError(f"a picture has a side of {value}")
    return int(value)


def _box(hand):
    if hand.get("bbox"):
        return hand["bbox"]
    points = np.reshape(hand["keypoints"], (-1, 3))
    points = points[points[:, 2] > 0, :2]
    return [*points.min(axis=0), *np.ptp(points, axis=0)]


def _window(name, number, size, boxes):
    """x, y, side of a square without a hand; None if no position was found."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{name}#{number}".encode()).digest()[:8], "little"))
    for _ in range(_TRIES):
        most = min(size)
        if most < _LEAST_SIDE:
            return None
        side = int(np.exp(rng.uniform(np.log(_LEAST_SIDE), np.log(most))))
        x, y = (int(rng.integers(0, length - side + 1)) for length in size)
        low = np.maximum(boxes[:, :2], [x, y])
        high = np.minimum(boxes[:, :2] + boxes[:, 2:], [x + side, y + side])
        shared = np.maximum(high - low, 0).prod(axis=1)
        if np.all(shared < _MOST_COVERED * np.minimum(boxes[:, 2:].prod(axis=1) + 1e-9, side**2)):
            return x, y, side
    return None


def _drawn(key):
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little"))
    if rng.random() > _ALL_ALIKE:
        scene = background(_STORED, rng)
    else:
        grey, noise = rng.choice([0.0, 1.0, rng.random()]), rng.choice([0.0, rng.uniform(0, 0.3)])
        scene = np.clip(grey + noise * rng.standard_normal((_STORED, _STORED, 3)), 0, 1)
    return (255 * scene).astype(np.uint8)


def _sample(key, group, picture):
    if len(picture) > _STORED:
        picture = cv2.resize(picture, (_STORED, _STORED), interpolation=cv2.INTER_AREA)
    side = len(picture)
    edge = 0.5 * (1 - _BOX) * side
    return Sample(
        dataset="no_hand",
        sample_id=key,
        group=group,
        image=cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes(),
        width=side,
        height=side,
        box=np.array([edge - 0.5, edge - 0.5, _BOX * side, _BOX * side]),
        no_hand=True,
    )
