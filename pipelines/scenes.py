"""Training pictures with several hands or none for the detector: hands pasted onto other backgrounds, whole
photographs, windows without hands. A scene depends only on its number, so that a resumed training sees the same data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from hiu_tf.codecs.centres import hands_in_square, shared
from hiu_tf.config.detection import SceneConfig
from hiu_tf.geometry.letterbox import letterbox
from hiu_tf.pictures import decode_mask, decode_rgb
from pipelines.material import Material
from pipelines.scene_hands import (
    box_of_sample,
    clipped,
    inside,
    mirrored,
    placed_joints,
    row_of_sample,
    without_hidden,
)

#: Maximum overlap of two hands of a composed scene, as a share of the smaller box.
_MOST_SHARED = 0.3
#: Size of the cut-out around a hand without a mask, or with its surroundings, relative to its box.
_SURROUNDINGS = 1.5
_TRIES = 8
#: Zooms into whole photographs, and out of them.
_ZOOM = 0.45, 2.2


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
        picture, hands = picture[:, ::-1], mirrored(hands, size)
    return np.ascontiguousarray(_recoloured(rng, picture)), hands


def _composite(rng, material, config, size):
    """Several hands in front of a background."""
    canvas, frame = _framed(rng, _background(rng, material, size))
    hands, joints, covers = np.zeros((0, 8), np.float32), [], []
    for _ in range(rng.integers(1, config.most_hands + 1)):
        sample = _drawn(rng, material)
        for _ in range(_TRIES):
            longer = size * math.exp(rng.uniform(*np.log(config.sizes)))
            middle = rng.uniform(frame[:2], frame[2:])
            affine = _placement(sample, longer, middle, _angle(rng))
            hand = row_of_sample(sample, affine)
            if not _is_clash(hand, hands) and inside(hand, frame) > 0.7:
                canvas, cover = _pasted(rng, canvas, sample, affine)
                hands = np.concatenate([hands, hand[np.newaxis]])
                joints.append(placed_joints(sample, affine))
                covers.append(cover)
                break
    hands = without_hidden(hands, joints, covers)
    if rng.random() < 0.15:
        canvas = _limb(rng, canvas, material, hands)
    return _within(canvas, frame), clipped(hands, frame)


def _alone(rng, material, config, size):
    """A photograph of one hand, nearer or farther away."""
    sample = material.alone[rng.integers(len(material.alone))]
    box = box_of_sample(sample)
    fitting = size / max(sample.width, sample.height) * box[2:].max() / size  # as a letterbox would show it
    relative = (
        fitting if rng.random() < 0.3 else math.exp(rng.uniform(math.log(max(0.5 * fitting, 0.06)), math.log(0.9)))
    )
    side = relative * size
    middle = rng.uniform(0.35 * side, size - 0.35 * side, 2) if side < size / 0.7 else np.full(2, size / 2)
    affine = _placement(sample, side, middle, _angle(rng) if rng.random() < 0.5 else 0.0)
    canvas = _background(rng, material, size) if rng.random() < 0.6 else np.zeros((size, size, 3), np.uint8)
    alpha = _warped(np.full((sample.height, sample.width), 255, np.uint8), affine, size)
    canvas = _blend(canvas, _warped(decode_rgb(sample.image), affine, size), alpha)
    frame = np.array([0, 0, size - 1, size - 1], float)
    return canvas, clipped(row_of_sample(sample, affine)[np.newaxis], frame)


def _whole(rng, material, config, size):
    """A photograph with all its hands: a part of it, or the whole of it smaller in front of a background."""
    encoded, hands = _by_share(rng, list(material.pictures.values()))
    picture = decode_rgb(encoded)
    height, width = picture.shape[:2]
    zoom = math.exp(rng.uniform(*np.log(_ZOOM))) if rng.random() < 0.7 else 1.0
    side = max(8, int(max(width, height) / max(zoom, 1.0)))
    part = min(width, side), min(height, side)
    x, y = (int(rng.integers(0, length - wanted + 1)) for length, wanted in zip((width, height), part))
    small, where = letterbox(picture[y : y + part[1], x : x + part[0]], round(size * min(zoom, 1.0)))
    at = rng.integers(0, size - len(small) + 1, 2)
    hands = hands.copy()
    hands[:, :2] -= (x, y)
    hands = hands_in_square(hands, where)
    hands[:, :2] += at
    canvas = _background(rng, material, size) if len(small) < size else np.zeros_like(small)
    wide, high = where.shape
    left, top = map(int, where.offset)
    x, y = at + (left, top)
    canvas[y : y + high, x : x + wide] = small[top : top + high, left : left + wide]
    return canvas, clipped(hands, np.array([x, y, x + wide - 1, y + high - 1], float))


def _empty(rng, material, config, size):
    """No hand; sometimes a shape like an arm."""
    canvas, frame = _framed(rng, _background(rng, material, size))
    if rng.random() < 0.4:
        canvas = _limb(rng, canvas, material, np.zeros((0, 8)))
    return _within(canvas, frame), np.zeros((0, 8), np.float32)


def _background(rng, material, size):
    """One picture that covers the square, or two side by side."""

    def one():
        picture = decode_rgb(material.backgrounds[rng.integers(len(material.backgrounds))])
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
    x, y, width, height = box_of_sample(sample)
    scale = longer / max(width, height)
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.array([[a, -b], [b, a]])
    return np.concatenate([turn, (middle - turn @ (x + width / 2, y + height / 2))[:, None]], axis=1)


def _pasted(rng, canvas, sample, affine):
    """Pastes the hand alone, or with its surroundings, onto the canvas. Returns the result, and the hand's opacity."""
    if sample.mask and rng.random() < 0.6:
        alpha = cv2.GaussianBlur(decode_mask(sample.mask), (0, 0), 1.0)
    else:
        x, y, width, height = box_of_sample(sample)
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
    hand = decode_rgb(sample.image)
    if rng.random() < 0.5:  # lit like its new place
        there = canvas.reshape(-1, 3).mean(axis=0) + 20
        gain = np.clip(there / (hand.reshape(-1, 3).mean(axis=0) + 20), 0.6, 1.5) ** rng.uniform(0, 0.6)
        hand = np.clip(hand * gain, 0, 255).astype(np.uint8)
    alpha = _warped(alpha, affine, size)
    return _blend(canvas, _warped(hand, affine, size), alpha), alpha


def _limb(rng, canvas, material, hands):
    """Draws a rounded, shaded shape in a hand's colour away from the hands, as a negative example (skin, wood)."""
    sample = _drawn(rng, material)
    x, y, width, height = box_of_sample(sample).astype(int)
    patch = decode_rgb(sample.image)[max(y, 0) : y + height + 1, max(x, 0) : x + width + 1]
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


def _is_clash(hand, hands):
    """Whether the hand overlaps another one too much."""
    return any(shared(hand[:4], other[:4]) > _MOST_SHARED for other in hands)


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
    alone = [(sample.image, row_of_sample(sample, identity)[np.newaxis]) for sample in material.alone]
    empty = [(image, np.zeros((0, 8), np.float32)) for image in material.backgrounds]
    read = lambda pairs: ((decode_rgb(image), hands) for image, hands in pairs)
    whole = {path: read(pictures) for path, (pictures, _) in material.pictures.items()}
    return {"composed": scenes(), "alone": read(alone), **whole, "none": read(empty)}
