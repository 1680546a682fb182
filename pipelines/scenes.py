"""Training pictures with several hands or none for the detector: hands pasted onto other backgrounds, whole
photographs, windows without hands. A scene depends only on its number, so that a resumed training sees the same data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hiu_tf.codecs.centres import shared
from hiu_tf.config.detection import SceneConfig
from hiu_tf.conventions.skeleton import NUM_JOINTS, Joint
from hiu_tf.geometry.letterbox import letterbox
from pipelines.build import raw_records
from pipelines.mixing import data_folder
from pipelines.records import decode
from pipelines.schema import LEFT, SIDES, UNKNOWN, DataSetError, Sample

#: Hands with a smaller share inside the picture are ignored.
_LEAST_VISIBLE = 0.45
#: Maximum overlap of two hands of a composed scene, as a share of the smaller box.
_MOST_SHARED = 0.3
#: Size of the cut-out around a hand without a mask, or with its surroundings, relative to its box.
_SURROUNDINGS = 1.5
_TRIES = 8


@dataclass(frozen=True)
class Material:
    """Sources of the scenes.

    Attributes:
      cutouts: sets of samples of one hand each, and how often each set is drawn.
      alone: samples whose whole picture shows only the labelled hand.
      pictures: folder -> whole photographs with all hands labelled, (encoded picture, hands [N, 8] in its pixels), and how
        often the folder is drawn.
      backgrounds: encoded pictures without hands.
    """

    cutouts: list[tuple[list[Sample], float]]
    alone: list[Sample]
    pictures: dict[str, tuple[list[tuple[bytes, np.ndarray]], float]]
    backgrounds: list[bytes]


def load_material(config: SceneConfig, root: str | Path, split: str) -> Material:
    """Reads a split of all sets that the recipe names below `root`.

    Raises:
      RecordError, DataSetError: something is missing or damaged.
    """
    read = lambda path: [decode(r) for r in raw_records(data_folder(root, path), split).as_numpy_iterator()]
    whole = {path: labelled_pictures(data_folder(root, path), split) for path in config.pictures}
    return Material(
        cutouts=[([s for s in read(path) if _is_clear(s)], share) for path, share in config.cutouts.items()],
        alone=[sample for path in config.alone for sample in read(path)],
        pictures={path: (found, config.pictures[path]) for path, found in whole.items() if found},
        backgrounds=[sample.image for path in config.backgrounds for sample in read(path)],
    )


def labelled_pictures(folder: Path, split: str) -> list[tuple[bytes, np.ndarray]]:
    """Reads the whole pictures of FOLDER/SPLIT.json (COCO) with all their hands.

    An annotation has `bbox`; `hand_side`, 21 `keypoints` (for the direction) and `other_hands`, a list of the boxes of
    hands without an annotation, may be missing.

    Raises:
      DataSetError: the list or a picture cannot be read.
    """
    path = folder / f"{split}.json"
    try:
        content = json.loads(path.read_text())
        hands = {image["id"]: [] for image in content["images"]}
        for hand in content["annotations"]:
            points = np.reshape(np.array(hand.get("keypoints") or np.zeros(3 * NUM_JOINTS), float), (NUM_JOINTS, 3))
            direction = _direction(points[:, :2], points[:, 2] > 0, max(hand["bbox"][2:]))
            hands[hand["image_id"]].append([*hand["bbox"], *direction, SIDES[hand.get("hand_side")], 1])
            hands[hand["image_id"]] += [[*box, 0, 0, SIDES[None], 1] for box in hand.get("other_hands", ())]
        return [
            ((folder / image["file_name"]).read_bytes(), np.reshape(np.array(hands[image["id"]], np.float32), (-1, 8)))
            for image in content["images"]
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataSetError(f"{path} is no list of pictures with boxes of hands: {error!r}") from error


def scene(number: int, seed: int, material: Material, config: SceneConfig, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Makes scene number `number`: picture [size, size, 3] uint8 RGB, and hands [N, 8] as in codecs/centres.py."""
    rng = np.random.default_rng([seed, number])
    kinds = {
        _composite: config.composite,
        _alone: config.alone_share,
        _whole: config.pictures_share,
        _empty: config.empty,
    }
    usable = {_alone: material.alone, _whole: material.pictures}
    chances = np.array([chance if usable.get(kind, True) else 0 for kind, chance in kinds.items()], float)
    kind = list(kinds)[rng.choice(len(kinds), p=chances / chances.sum())]
    picture, hands = kind(rng, material, config, size)
    if rng.random() < 0.5:
        picture, hands = picture[:, ::-1], _mirrored(hands, size)
    return np.ascontiguousarray(_recoloured(rng, picture)), hands


def _composite(rng, material, config, size):
    """Several hands in front of a background."""
    canvas, frame = _framed(rng, _background(rng, material, size))
    hands = np.zeros((0, 8), np.float32)
    for _ in range(rng.integers(1, config.most_hands + 1)):
        sample = _drawn(rng, material)
        for _ in range(_TRIES):
            longer = size * math.exp(rng.uniform(*np.log(config.sizes)))
            middle = rng.uniform(frame[:2], frame[2:])
            affine = _placement(sample, longer, middle, _angle(rng))
            hand = _hand(sample, affine)
            if not _is_clash(hand, hands) and _inside(hand, frame) > 0.7:
                canvas = _pasted(rng, canvas, sample, affine)
                hands = np.concatenate([hands, hand[np.newaxis]])
                break
    if rng.random() < 0.15:
        canvas = _limb(rng, canvas, material, hands)
    return _within(canvas, frame), _clipped(hands, frame)


def _alone(rng, material, config, size):
    """A photograph of one hand, nearer or farther away."""
    sample = material.alone[rng.integers(len(material.alone))]
    box = _box(sample)
    fitting = size / max(sample.width, sample.height) * box[2:].max() / size  # as a letterbox would show it
    relative = (
        fitting if rng.random() < 0.3 else math.exp(rng.uniform(math.log(max(0.5 * fitting, 0.06)), math.log(0.9)))
    )
    side = relative * size
    middle = rng.uniform(0.35 * side, size - 0.35 * side, 2) if side < size / 0.7 else np.full(2, size / 2)
    affine = _placement(sample, side, middle, _angle(rng) if rng.random() < 0.5 else 0.0)
    canvas = _background(rng, material, size) if rng.random() < 0.6 else np.zeros((size, size, 3), np.uint8)
    alpha = _warped(np.full((sample.height, sample.width), 255, np.uint8), affine, size)
    canvas = _blend(canvas, _warped(_decoded(sample.image), affine, size), alpha)
    frame = np.array([0, 0, size - 1, size - 1], float)
    return canvas, _clipped(_hand(sample, affine)[np.newaxis], frame)


def _whole(rng, material, config, size):
    """A part of a photograph with all its hands."""
    encoded, hands = _by_share(rng, list(material.pictures.values()))
    picture = _decoded(encoded)
    height, width = picture.shape[:2]
    zoom = rng.uniform(1.0, 2.2) if rng.random() < 0.7 else 1.0
    part = max(8, int(width / zoom)), max(8, int(min(height, width / zoom)))
    x, y = (int(rng.integers(0, length - wanted + 1)) for length, wanted in zip((width, height), part))
    square, where = letterbox(picture[y : y + part[1], x : x + part[0]], size)
    hands = hands.copy()
    hands[:, :2] = where.to_square(hands[:, :2] - (x, y))
    hands[:, 2:4] *= where.scale
    frame = np.concatenate([where.to_square(np.zeros(2)), where.to_square(np.array(part) - 1.0)])
    return square, _clipped(hands, frame)


def _empty(rng, material, config, size):
    """No hand; sometimes a shape like an arm."""
    canvas, frame = _framed(rng, _background(rng, material, size))
    if rng.random() < 0.4:
        canvas = _limb(rng, canvas, material, np.zeros((0, 8)))
    return _within(canvas, frame), np.zeros((0, 8), np.float32)


def _background(rng, material, size):
    """One picture that covers the square, or two side by side."""

    def one():
        picture = _decoded(material.backgrounds[rng.integers(len(material.backgrounds))])
        scale = size / min(picture.shape[:2]) * rng.uniform(1.0, 1.6)
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        y, x = (int(rng.integers(0, max(length - size, 0) + 1)) for length in picture.shape[:2])
        part = picture[y : y + size, x : x + size]
        return np.pad(part, [(0, size - part.shape[0]), (0, size - part.shape[1]), (0, 0)], mode="edge")

    picture = one()
    if rng.random() < 0.3:
        at = int(rng.uniform(0.25, 0.75) * size)
        picture[:, at:] = one()[:, at:]
    return picture if rng.random() < 0.5 else np.ascontiguousarray(picture.transpose(1, 0, 2))


def _framed(rng, canvas):
    """The canvas, and the frame [left, top, right, bottom] between the black bars of a simulated letterbox."""
    size = len(canvas)
    bar = int(rng.choice([0, 0, rng.uniform(0.1, 0.25)]) * size)
    upright = rng.random() < 0.3
    frame = (bar, 0, size - 1 - bar, size - 1) if upright else (0, bar, size - 1, size - 1 - bar)
    return canvas, np.array(frame, float)


def _within(canvas, frame):
    left, top, right, bottom = frame.astype(int)
    clean = np.zeros_like(canvas)
    clean[top : bottom + 1, left : right + 1] = canvas[top : bottom + 1, left : right + 1]
    return clean


def _drawn(rng, material):
    return _by_share(rng, material.cutouts)


def _by_share(rng, sets):
    """An item of one of the sets [(items, share)], which is drawn by its share."""
    shares = np.array([share for _, share in sets])
    items, _ = sets[rng.choice(len(sets), p=shares / shares.sum())]
    return items[rng.integers(len(items))]


def _angle(rng):
    return rng.uniform(-math.pi, math.pi) if rng.random() < 0.35 else rng.normal(0, math.radians(25))


def _placement(sample, longer, middle, angle):
    """Affine [2, 3] from the sample's picture to the square; its box gets longer side `longer` and centre `middle`."""
    x, y, width, height = _box(sample)
    scale = longer / max(width, height)
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.array([[a, -b], [b, a]])
    return np.concatenate([turn, (middle - turn @ (x + width / 2, y + height / 2))[:, None]], axis=1)


def _pasted(rng, canvas, sample, affine):
    """Pastes the hand alone, or with its surroundings, onto the canvas."""
    if sample.mask and rng.random() < 0.6:
        alpha = cv2.GaussianBlur(cv2.imdecode(np.frombuffer(sample.mask, np.uint8), cv2.IMREAD_GRAYSCALE), (0, 0), 1.0)
    else:
        x, y, width, height = _box(sample)
        alpha = np.zeros((sample.height, sample.width), np.uint8)
        half = [max(1, round(_SURROUNDINGS * length / 2 + 0.1 * max(width, height))) for length in (width, height)]
        middle = round(x + width / 2), round(y + height / 2)
        if rng.random() < 0.5:
            cv2.ellipse(alpha, middle, half, 0, 0, 360, 255, -1)
        else:
            cv2.rectangle(
                alpha, (middle[0] - half[0], middle[1] - half[1]), (middle[0] + half[0], middle[1] + half[1]), 255, -1
            )
        alpha = cv2.GaussianBlur(alpha, (0, 0), 0.5 + 0.03 * max(width, height))
    size = len(canvas)
    hand = _decoded(sample.image)
    if rng.random() < 0.5:  # lit like its new place
        there = canvas.reshape(-1, 3).mean(axis=0) + 20
        gain = np.clip(there / (hand.reshape(-1, 3).mean(axis=0) + 20), 0.6, 1.5) ** rng.uniform(0, 0.6)
        hand = np.clip(hand * gain, 0, 255).astype(np.uint8)
    return _blend(canvas, _warped(hand, affine, size), _warped(alpha, affine, size))


def _limb(rng, canvas, material, hands):
    """Draws a rounded, shaded shape in a hand's colour away from the hands, as a negative example (skin, wood)."""
    sample = _drawn(rng, material)
    x, y, width, height = _box(sample).astype(int)
    patch = _decoded(sample.image)[max(y, 0) : y + height + 1, max(x, 0) : x + width + 1]
    colour = patch[patch.shape[0] // 2, patch.shape[1] // 2].astype(float)
    size, alpha = len(canvas), np.zeros(canvas.shape[:2], np.uint8)
    start, end = rng.uniform(0, size, (2, 2)).astype(int)
    cv2.line(alpha, start.tolist(), end.tolist(), 255, int(rng.uniform(0.04, 0.3) * size), cv2.LINE_AA)
    for hx, hy, w, h, *_ in hands:
        cv2.rectangle(alpha, (int(hx - 4), int(hy - 4)), (int(hx + w + 4), int(hy + h + 4)), 0, -1)
    shade = cv2.GaussianBlur(alpha, (0, 0), 0.03 * size)[..., None] / 255.0
    texture = cv2.GaussianBlur(rng.normal(0, 40, canvas.shape).astype(np.float32), (0, 0), 3)
    return _blend(canvas, np.clip(colour * (0.55 + 0.45 * shade) + texture, 0, 255).astype(np.uint8), alpha)


def _warped(picture, affine, size):
    """Warps the picture to the square; averages first if it shrinks a lot."""
    scale = math.hypot(affine[0, 0], affine[1, 0])
    shrink = int(np.clip(1 / scale / 1.5, 1, 16)) if scale > 0 else 1
    if shrink > 1:
        small = cv2.resize(picture, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        grow = np.array([[shrink, 0, 0.5 * shrink - 0.5], [0, shrink, 0.5 * shrink - 0.5], [0, 0, 1]])
        picture, affine = small, affine @ grow
    return cv2.warpAffine(picture, affine, (size, size), flags=cv2.INTER_LINEAR)


def _blend(below, above, alpha):
    share = alpha[..., None].astype(np.float32) / 255.0
    return (above * share + below * (1 - share) + 0.5).astype(np.uint8)


def _decoded(encoded):
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].copy()


def _is_clear(sample):
    """Whether all joints of the hand are labelled and inside the picture, so that the whole hand is visible."""
    inside = np.all((sample.joints_2d > -2) & (sample.joints_2d < [sample.width + 1, sample.height + 1]))
    return bool(np.all(sample.joints_2d_weight > 0) and inside)


def _box(sample):
    points = sample.joints_2d[sample.joints_2d_weight > 0]
    low = points.min(axis=0)
    return np.array([*low, *np.maximum(points.max(axis=0) - low, 2.0)])


def _hand(sample, affine):
    """The row [8] of a sample's hand in the square (codecs/centres.py)."""
    points = sample.joints_2d @ affine[:, :2].T + affine[:, 2]
    known = sample.joints_2d_weight > 0
    low, high = points[known].min(axis=0), points[known].max(axis=0)
    direction = _direction(points, known, max(high - low))
    return np.array([*low, *np.maximum(high - low, 1.0), *direction, sample.side, 1], np.float32)


def _direction(points, known, longer):
    """Unit vector wrist -> middle finger; 0, 0 where a joint is unknown or both are one behind the other."""
    if not known[[Joint.WRIST, Joint.MIDDLE1]].all():
        return np.zeros(2)
    direction = points[Joint.MIDDLE1] - points[Joint.WRIST]
    length = float(np.linalg.norm(direction))
    return direction / length if length > 0.1 * longer else np.zeros(2)


def _is_clash(hand, hands):
    """Whether the hand overlaps another one too much."""
    return any(shared(hand[:4], other[:4]) > _MOST_SHARED for other in hands)


def _inside(hand, frame):
    """Share of the hand's box inside the frame."""
    low = np.maximum(hand[:2], frame[:2])
    high = np.minimum(hand[:2] + hand[2:4], frame[2:])
    return float(np.prod(np.maximum(high - low, 0)) / np.prod(hand[2:4]))


def _clipped(hands, frame):
    """Clips boxes at the frame; marks hands that are mostly outside as ignored and drops those fully outside."""
    rows = []
    for hand in hands:
        visible = _inside(hand, frame)
        if visible <= 0.02:
            continue
        low, high = np.maximum(hand[:2], frame[:2]), np.minimum(hand[:2] + hand[2:4], frame[2:])
        rows.append([*low, *(high - low), *hand[4:7], hand[7] * (visible >= _LEAST_VISIBLE)])
    return np.reshape(np.array(rows, np.float32), (-1, 8))


def _mirrored(hands, size):
    hands = hands.copy()
    hands[:, 0] = size - 1 - hands[:, 0] - hands[:, 2]
    hands[:, 4] *= -1
    hands[:, 6] = np.where(hands[:, 6] == UNKNOWN, UNKNOWN, LEFT - hands[:, 6])
    return hands


def _recoloured(rng, picture):
    """Simulates another camera: light, blur, noise, compression."""
    values = picture.astype(np.float32) / 255
    values = values ** math.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.12, 3).astype(np.float32))
    if rng.random() < 0.08:
        values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.2:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.3:
        values = values + rng.normal(0, rng.uniform(0.005, 0.05), values.shape).astype(np.float32)
    picture = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(30, 95))]
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR)
    return picture


def validation_sets(
    material: Material, config: SceneConfig, size: int, count: int
) -> dict[str, Iterator[tuple[np.ndarray, np.ndarray]]]:
    """{name: iterator of (picture, hands [N, 8] in its pixels)} of the val splits; always the same pictures.

    "composed": `count` scenes; "alone": unchanged pictures of one hand; whole pictures by their folder; "none": no hands.
    """
    scenes = lambda: (_composite(np.random.default_rng([7, k]), material, config, size) for k in range(count))
    identity = np.eye(3)[:2]
    alone = [(sample.image, _hand(sample, identity)[np.newaxis]) for sample in material.alone]
    empty = [(image, np.zeros((0, 8), np.float32)) for image in material.backgrounds]
    read = lambda pairs: ((_decoded(image), hands) for image, hands in pairs)
    whole = {path: read(pictures) for path, (pictures, _) in material.pictures.items()}
    return {"composed": scenes(), "alone": read(alone), **whole, "none": read(empty)}


def scenes_sheet(
    scenes: Sequence[tuple[np.ndarray, np.ndarray]], columns: int = 6, size: int | None = None
) -> np.ndarray:
    """Draws scenes with boxes, directions and sides, in rows; pictures of any shape become squares of `size`."""
    drawn = []
    for picture, hands in scenes:
        if size:
            picture, where = letterbox(picture, size)
            hands = hands.copy()
            hands[:, :2] = where.to_square(hands[:, :2])
            hands[:, 2:4] *= where.scale
        picture = picture.copy()
        for x, y, width, height, across, along, side, counts in hands:
            colour = {0: (80, 220, 80), 1: (80, 160, 255)}.get(int(side), (255, 220, 0)) if counts else (150, 150, 150)
            cv2.rectangle(picture, (int(x), int(y)), (int(x + width), int(y + height)), colour, 1)
            middle = np.array([x + width / 2, y + height / 2])
            tip = middle + 0.5 * max(width, height) * np.array([across, along])
            cv2.line(picture, middle.astype(int).tolist(), tip.astype(int).tolist(), colour, 1, cv2.LINE_AA)
        drawn.append(picture)
    drawn += [np.zeros_like(drawn[0])] * (-len(drawn) % columns)
    return np.concatenate([np.concatenate(drawn[k : k + columns], axis=1) for k in range(0, len(drawn), columns)])
