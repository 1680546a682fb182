"""Contact sheets of samples with their labels, which reveal wrong key point orders or shifted masks at a glance."""

from pathlib import Path

import cv2
import numpy as np

_TILE, _SMALL_TILE, _TEXT_HEIGHT, _COLUMNS, _SHOWN_REGION = 240, 160, 34, 6, 1.8


def write_sheet(name: str, source: str, split: str, options: tuple, count: int, target: Path) -> int:
    """Draws `count` samples, evenly spread over the split; fewer if it has fewer. Returns how many."""
    from pipelines.datasets import open_split
    from pipelines.schema import Sample

    opened = open_split(name, source, split, options)
    parts = max(1, len(opened.keys) // count)
    found = [outcome for _, outcome in opened.outcomes(0, parts)]
    samples = [outcome for outcome in found if isinstance(outcome, Sample)][:count]
    if not samples:
        raise found[0]
    _write(tiles([draw_sample(sample) for sample in samples]), target)
    return len(samples)


def write_batch(batch, target: Path) -> None:
    """Draws a training batch (image, targets): picture, 2D labels, heat maps, POF and mask of each sample, if it has them."""
    image, targets = batch
    samples = [{name: value[n].numpy() for name, value in targets.items()} for n in range(len(image))]
    rows = [np.concatenate(draw_target(*of_sample), axis=1) for of_sample in zip(image.numpy(), samples)]
    _write(tiles(rows, columns=3), target)


def write_labels(labels: list[tuple[Path, np.ndarray]], target: Path) -> None:
    """Draws hands, given as picture and joints [21, 2] in its pixels, each in a square of its own."""
    from hiu_tf.geometry.window import around_box, box_of
    from hiu_tf.pictures import read_picture
    from hiu_tf.runtime.crop import cut
    from hiu_tf.runtime.draw import draw_skeleton

    drawn = []
    for file, joints in labels:
        window = around_box(box_of(joints), _SMALL_TILE)
        tile = (255 * cut(read_picture(file), window)).astype(np.uint8)
        drawn.append(draw_skeleton(tile, window.to_crop(joints)))
    _write(tiles(drawn, columns=8), target)


def draw_target(picture: np.ndarray, sample: dict) -> list[np.ndarray]:
    """Draws one training sample: the picture, and a panel for each target that the network's tasks have.

    Labels of weight 0 are not drawn.
    """
    from hiu_tf.conventions import keys
    from hiu_tf.runtime.draw import draw_mask, draw_skeleton
    from hiu_tf.tasks.pof import draw_field

    panels = [(picture * 255).astype(np.uint8)]
    scaled = lambda panel: cv2.resize(panel, picture.shape[:2])
    if keys.JOINTS_2D in sample:
        weight = sample[keys.JOINTS_2D_WEIGHT]
        panels.append(draw_skeleton(panels[0], sample[keys.JOINTS_2D], weight) if weight.any() else panels[0])
    if keys.HEATMAPS in sample:
        heat = (sample[keys.HEATMAPS] * sample[keys.HEATMAPS_WEIGHT]).max(axis=-1, keepdims=True)
        panels.append(scaled((np.clip(np.repeat(heat, 3, axis=-1), 0, 1) * 255).astype(np.uint8)))
    if keys.POF in sample:
        panels.append(scaled(draw_field(sample[keys.POF] * sample[keys.POF_WEIGHT])))
    if keys.MASK in sample:
        panels.append(draw_mask(panels[0], sample[keys.MASK][..., 0]) if sample[keys.MASK_WEIGHT] > 0 else panels[0])
    return panels


def _write(sheet, target):
    from hiu_tf.atomic import written_whole
    from hiu_tf.pictures import encode_png

    target.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(target) as scratch:
        scratch.write_bytes(encode_png(np.ascontiguousarray(sheet)))


def tiles(pictures: list[np.ndarray], columns: int = _COLUMNS) -> np.ndarray:
    """Arranges pictures of equal size in rows."""
    columns = min(columns, len(pictures))
    empty = [np.full_like(pictures[0], 255)] * (-len(pictures) % columns)
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    rows[-1] = rows[-1] + empty
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def draw_sample(sample) -> np.ndarray:
    """Draws the hand with its surroundings, mask, skeleton (thin for hidden joints) and a caption, RGB."""
    from hiu_tf.pictures import decode_mask, decode_rgb
    from hiu_tf.runtime.draw import draw_mask, draw_skeleton

    picture = decode_rgb(sample.image)
    labelled = sample.joints_2d_weight > 0
    points = sample.joints_2d[labelled] if labelled.any() else sample.box[:2] + np.stack([np.zeros(2), sample.box[2:]])
    middle, side = (points.min(axis=0) + points.max(axis=0)) / 2, _SHOWN_REGION * max(np.ptp(points, axis=0).max(), 8)
    scale = _TILE / side
    affine = np.array([[scale, 0, _TILE / 2 - scale * middle[0]], [0, scale, _TILE / 2 - scale * middle[1]]])
    tile = cv2.warpAffine(picture, affine, (_TILE, _TILE), flags=cv2.INTER_AREA, borderValue=(90, 90, 90))
    if sample.mask:
        mask = decode_mask(sample.mask)
        tile = draw_mask(tile, cv2.warpAffine(mask, affine, (_TILE, _TILE)) / 255.0)
    if labelled.all():
        tile = draw_skeleton(tile, sample.joints_2d * scale + affine[:, 2], sample.visible)
    else:
        for x, y in points * scale + affine[:, 2]:
            cv2.circle(tile, (round(x), round(y)), 3, (255, 220, 40), -1, cv2.LINE_AA)
    return np.concatenate([tile, _text(sample)])


def _text(sample):
    strip = np.full((_TEXT_HEIGHT, _TILE, 3), 255, np.uint8)
    side = {0: "right", 1: "left"}.get(sample.side, "unknown side")
    depth = sample.joints_3d[sample.joints_3d_weight > 0, 2]
    facts = [side, f"2D {int((sample.joints_2d_weight > 0).sum())}"]
    facts += [f"3D {len(depth)} ({depth.mean():.2f} m)"] if len(depth) else []
    facts += ["mesh"] if len(sample.vertices) else []
    for row, text in enumerate((sample.sample_id[-34:], ", ".join(facts))):
        cv2.putText(strip, text, (4, 13 + 15 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def scenes_sheet(scenes: list[tuple[np.ndarray, np.ndarray]], columns: int = 6, size: int = 0) -> np.ndarray:
    """Draws scenes with boxes, directions and sides, in rows; pictures become squares of `size` if it is above 0."""
    from hiu_tf.codecs.centres import hands_in_square
    from hiu_tf.geometry.letterbox import letterbox

    drawn = []
    for picture, hands in scenes:
        if size:
            picture, where = letterbox(picture, size)
            hands = hands_in_square(hands, where)
        picture = picture.copy()
        for x, y, width, height, across, along, side, counts in hands:
            colour = {0: (80, 220, 80), 1: (80, 160, 255)}.get(int(side), (255, 220, 0)) if counts else (150, 150, 150)
            cv2.rectangle(picture, (int(x), int(y)), (int(x + width), int(y + height)), colour, 1)
            middle = np.array([x + width / 2, y + height / 2])
            tip = middle + 0.5 * max(width, height) * np.array([across, along])
            cv2.line(picture, middle.astype(int).tolist(), tip.astype(int).tolist(), colour, 1, cv2.LINE_AA)
        drawn.append(picture)
    return tiles(drawn, columns)
