"""Hands that have a box but no key points, as `hiu label` reads them from COCO files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hiu_tf.errors import UserError
from pipelines.coco import CocoFile, lies_inside
from pipelines.schema import SIDES, UNKNOWN


class Given(NamedTuple):
    """A hand to be labelled: its box in COCO's pixels, its side or None, and what to call it in messages."""

    box: list[float]
    side: str | None
    name: str


def unlabelled_hands(path: Path, left_out: Callable[[str, str], None]) -> dict[Path, list[Given]]:
    """The hands of a COCO file by their pictures.

    Args:
      path: the file; names of pictures are relative to its folder.
      left_out: is told of each annotation that is not taken: the reason, and what is wrong with it ("" if nothing is).

    Raises:
      DataSetError: the file is missing or is no COCO file.
    """
    coco, hands = CocoFile(path, "hiu label"), defaultdict(list)
    for key in coco.keys:
        try:
            annotation = coco.annotation(key)
            file = _file_of(path.parent, coco.image(annotation.get("image_id")))
            if _has_points(annotation):
                left_out("already with key points", "")
            elif annotation.get("iscrowd"):
                left_out("a crowd", "")
            else:
                hands[file].append(_given(annotation, f"{path.name}: annotation {key}"))
        except (UserError, ValueError, TypeError, AttributeError) as error:
            left_out("not as COCO's form wants it", f"{path.name}: annotation {key}: {error}")
    return dict(hands)


def _file_of(folder, image):
    if image is None:
        raise UserError("its image_id is not among the images")
    name = image.get("file_name")
    if not isinstance(name, str) or not lies_inside(folder, name):
        raise UserError(f"its picture is {name!r}, expected a file inside {folder}")
    return folder / name


def _has_points(annotation):
    points = annotation.get("keypoints") or ()
    return isinstance(points, list) and any(points[2::3])


def _given(annotation, name):
    box, side = annotation.get("bbox"), annotation.get("hand_side")
    if not isinstance(box, list) or len(box) != 4:
        raise UserError(f"bbox is {box!r}, expected x, y, width, height")
    if side not in SIDES:
        raise UserError(f"hand_side is {side!r}, expected right, left, unknown or null")
    return Given([float(value) for value in box], None if SIDES[side] == UNKNOWN else side, name)
