"""Your own data: COCO key points with 21 hand points, optional masks and 3D (data card: README.md)."""

from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from hiu_tf.conventions.coco import CORNER, own_box
from hiu_tf.conventions.skeleton import NUM_JOINTS, PARENTS, TIPS
from pipelines.coco import CocoFile, lies_inside
from pipelines.datasets import DataSetError, Split
from pipelines.lift import lift, orthographic_fit
from pipelines.schema import SIDES
from pipelines.store import read_picture, store

#: Maximum mean distance of `world` from the 2D labels, as a share of the box; above it `world` is ignored.
_MOST_WORLD_ERROR = 0.08
#: Metres; two joints of one hand that are farther apart are labels in other units.
_LARGEST_HAND = 0.5
#: Pixels; key points of most joints within fewer are in other units.
_SMALLEST_HAND_PX = 2.0


def open_split(source: str, split: str, allow_outside: str = "no", extend_tips: str = "0") -> Split:
    """The annotated hands of SOURCE/SPLIT.json.

    Args:
      source: the folder.
      split: name of the file.
      allow_outside: "yes" allows file names that lead out of the folder.
      extend_tips: share of a finger's last bone by which its tip is moved outwards, in 2D and 3D, for labels whose
        fingertips lie before the end of the finger. A tip beside a joint without a label stays.

    Raises:
      DataSetError: the file is missing or is not a COCO key point file.
    """
    if allow_outside not in ("yes", "no"):
        raise DataSetError(f"own_data: allow_outside is yes or no, got {allow_outside!r}")
    try:
        longer = float(extend_tips)
    except ValueError:
        longer = -1.0
    if not 0 <= longer <= 1:
        raise DataSetError(f"own_data: extend_tips is a number from 0 to 1, got {extend_tips!r}")
    folder = Path(source)
    path = folder / f"{split}.json"
    coco = CocoFile(path, "own_data")
    name = folder.resolve().name

    def load(key):
        annotation, where = coco.annotation(key), _where(name, path, key)
        image = coco.image(annotation.get("image_id"))
        if image is None:
            raise DataSetError(f"{where}: image_id {annotation.get('image_id')} is not among the images")
        if allow_outside == "no":
            _refuse_outside(folder, (image, annotation), where)
        return _sample(folder, name, image, annotation, coco.is_alone(annotation["image_id"]), longer, where)

    return Split(name, coco.keys, load, coco.fingerprint)


def _refuse_outside(folder, parts, where):
    for file in (part.get(name) for part in parts for name in ("file_name", "mask_file")):
        if file and not lies_inside(folder, str(file)):
            raise DataSetError(f"{where}: {file} lies outside {folder} (--option allow_outside=yes takes it)")


def _where(name, path, key):
    return f"own_data: {name}: {path.name}: annotation {key}"


def _sample(folder, name, image, annotation, alone, longer, where):
    box = _box(annotation, where)
    points = np.asarray(annotation.get("keypoints") or (), np.float32)
    if box is not None and not points.size:  # a hand with a box alone, or a mask
        points = np.zeros(3 * NUM_JOINTS, np.float32)
    if points.size != 3 * NUM_JOINTS:
        raise DataSetError(f"{where}: keypoints has {points.size} numbers, expected {3 * NUM_JOINTS} (x, y, v)")
    if annotation.get("hand_side") not in SIDES:
        known = ", ".join(str(side) for side in SIDES if side)
        raise DataSetError(f"{where}: hand_side is {annotation['hand_side']!r}, expected one of {known}")
    points = points.reshape(NUM_JOINTS, 3)
    _require_pixels(points[points[:, 2] > 0, :2], where)
    longer = np.where(points[PARENTS[TIPS], 2:] > 0, longer, 0.0)
    points[:, :2] = _extended(points[:, :2], longer)
    return store(
        folder / image["file_name"],
        _mask(folder, image, annotation, alone, where),
        _size(image),
        dataset=name,
        sample_id=str(annotation["id"]),
        group=str(image["file_name"]),
        side=SIDES[annotation.get("hand_side")],
        joints_2d=points[:, :2] - CORNER,
        joints_2d_weight=(points[:, 2] > 0).astype(np.float32),
        # All joints tell where the hand is; some of them do not.
        **({} if box is None or (points[:, 2] > 0).all() else {"box": box}),
        visible=(points[:, 2] != 1).astype(np.float32),  # COCO: 1 is labelled but hidden
        **(_joints_3d(image, annotation, longer, where) or _lifted(points, annotation, longer, where)),
    )


def _require_pixels(labelled, where):
    """Raises DataSetError if the key points [N, 2] of most joints lie in one place, as shares of a picture's size do."""
    extent = np.ptp(labelled, axis=0).max() if len(labelled) > NUM_JOINTS // 2 else np.inf
    if extent < _SMALLEST_HAND_PX:
        raise DataSetError(
            f"{where}: its key points lie within {extent:.2g} pixels: keypoints are in pixels, not in 0..1"
        )


def _size(image):
    """Width and height as the file says them, or None: some writers leave them out, or write 0."""
    size = image.get("width"), image.get("height")
    return size if all(isinstance(side, int) and side > 0 for side in size) else None


def _box(annotation, where):
    """bbox [4] with the pixel's centre at (0, 0), or None."""
    if annotation.get("bbox") is None:
        return None
    box = np.asarray(annotation["bbox"], np.float32)
    if box.shape != (4,) or not np.isfinite(box).all() or not (box[2:] > 0).all():
        raise DataSetError(f"{where}: bbox is {annotation['bbox']}, expected x, y, width, height in pixels")
    return np.array(own_box(box), np.float32)


def _extended(points, longer):
    """Moves the fingertips of points [21, 2 or 3] outwards by shares [5, 1] of their last bones."""
    points = points.copy()
    points[TIPS] += longer * (points[TIPS] - points[PARENTS[TIPS]])
    return points


def _joints_3d(image, annotation, longer, where):
    """3D labels [21, 3] in metres with the picture's K, if both are given. A joint that is null or (0, 0, 0) is unknown."""
    if annotation.get("joints_3d") is None:
        return {}
    unknown, camera = [np.nan] * 3, image.get("K")
    joints = np.array([unknown if joint is None else joint for joint in annotation["joints_3d"]], np.float32)
    if joints.shape != (NUM_JOINTS, 3):
        raise DataSetError(f"{where}: joints_3d has shape {joints.shape}, expected ({NUM_JOINTS}, 3), metres")
    if camera is None or np.shape(camera) != (3, 3):
        raise DataSetError(f"{where}: joints_3d needs the camera of its picture: K, 3 x 3, in images[]")
    known = np.isfinite(joints).all(axis=1) & joints.any(axis=1)
    joints = np.where(known[:, np.newaxis], joints, 0)
    if (joints[known, 2] <= 0).any():
        raise DataSetError(f"{where}: joints_3d lie behind the camera: x points right, y down, z away from it")
    if known.any() and np.ptp(joints[known], axis=0).max() > _LARGEST_HAND:
        raise DataSetError(
            f"{where}: joints_3d spread over {np.ptp(joints[known], axis=0).max():.3g} m: are they in metres?"
        )
    longer = np.where(known[PARENTS[TIPS], np.newaxis], longer, 0.0)
    camera = np.array(camera, np.float32)
    camera[:2, 2] -= CORNER
    joints = np.where(known[:, np.newaxis], _extended(joints, longer), 0).astype(np.float32)
    return {"joints_3d": joints, "joints_3d_weight": known.astype(np.float32), "intrinsics": camera}


def _lifted(points, annotation, longer, where):
    """3D labels from `world` (joints without a camera, as other networks predict them), if they fit the 2D labels."""
    if annotation.get("world") is None or not (points[:, 2] > 0).all():
        return {}
    world = np.asarray(annotation["world"], np.float64)
    if world.shape != (NUM_JOINTS, 3) or not np.isfinite(world).all():
        raise DataSetError(f"{where}: world has shape {world.shape}, expected finite ({NUM_JOINTS}, 3), metres")
    world = _extended(world, longer)
    joints_2d = points[:, :2].astype(np.float64) - CORNER
    scale, error = orthographic_fit(joints_2d, world)
    if scale <= 0 or error > _MOST_WORLD_ERROR:
        return {}
    joints, camera = lift(joints_2d, world, scale)
    return {"joints_3d": joints, "joints_3d_weight": np.ones(NUM_JOINTS, np.float32), "intrinsics": camera}


def _mask(folder, image, annotation, alone, where):
    """Mask of the annotation (polygons, RLE or file); else that of the picture, if it has only one hand."""
    shape = annotation.get("segmentation")
    if shape:
        return _drawn(shape, image, where)
    file = annotation.get("mask_file") or (alone and image.get("mask_file"))
    if not file:
        return None
    mask = read_picture(folder / file, "grey")
    mask = 255 * mask if mask.max() == 1 else mask  # written as 0 and 1
    if not (mask > 127).any():
        raise DataSetError(f"{where}: the mask {file} is empty: mark the hand's pixels with 255, or with 1")
    return mask


def _drawn(shape, image, where):
    try:
        height, width = int(image["height"]), int(image["width"])
        if isinstance(shape, dict) and list(shape["size"]) != [height, width]:
            raise DataSetError(f"its size is {shape['size']}, the picture's {[height, width]}")
        if isinstance(shape, dict) and isinstance(shape["counts"], str):
            runs = {"size": shape["size"], "counts": shape["counts"].encode()}
        else:
            runs = coco_mask.frPyObjects(shape, height, width)
        return coco_mask.decode(coco_mask.merge(runs) if isinstance(runs, list) else runs) * np.uint8(255)
    except Exception as error:  # pycocotools raises bare exceptions of many kinds
        raise DataSetError(f"{where}: segmentation is neither polygons nor RLE of its picture: {error!r}") from error
