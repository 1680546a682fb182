"""Evaluates the whole product: the records' pictures go through `Predictor`, as in `hiu predict`."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from hiu_tf.programs._measure import batches, no_rows, with_progress
from hiu_tf.tables import markdown_table

_SEED = 0


class Told(NamedTuple):
    """A row of the table: what the predictor is given. Pictures that are `turned` are turned by random angles."""

    box: bool
    side: bool
    turned: bool = False


ROWS = {"box and side": Told(True, True), "box": Told(True, False), "whole picture": Told(False, False)}
TURNED = {f"turned, {row}": told._replace(turned=True) for row, told in ROWS.items()}


class Shown(NamedTuple):
    """A labelled picture.

    Attributes:
      picture: [H, W, 3] uint8.
      joints: [N, 2], the labelled ones, if the box is the tight one around them; else None.
      box: of the hand.
      side: "right", "left" or None.
    """

    picture: np.ndarray
    joints: np.ndarray | None
    box: tuple
    side: str | None


class Product:
    """A predictor for `evaluation.evaluate.measure` that uses the whole picture instead of the crop cut from it.

    Its predictions are transformed to the crop, so that the metrics are comparable with those of other predictors.
    The rendered mask is the area that the drawn mesh covers.

    Args:
      predictor: a `Predictor` of the runtime.
      pictures: output of `pictures_of`, in the order of the crops.
      told: what the predictor is given.
    """

    def __init__(self, predictor, pictures, told: Told):
        self._predictor, self._pictures, self._told = predictor, iter(pictures), told
        self._rng = np.random.default_rng(_SEED)
        self.sides = []  # for each hand with a labelled side: whether the prediction is correct

    def __call__(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """Predictions for the next pictures, one for each crop [B, S, S, 3]."""
        answers = [self._one(next(self._pictures), crops.shape[1]) for _ in crops]
        return {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}

    def _one(self, shown, size):
        import cv2

        from hiu_tf.conventions import keys
        from hiu_tf.geometry.mesh import covered
        from hiu_tf.geometry.window import around_box

        turn = self._turn(shown.picture)
        found = self._found(turned(shown, turn))
        if shown.side and not self._told.side:
            self.sides.append(found.side == shown.side)
        window = around_box(shown.box, size, mirrored=shown.side == "left")
        to_crop = lambda points: window.to_crop(turn.to_picture(points))
        # The axes are orthogonal: a transpose is the inverse.
        axes = turn.camera_axes().T @ window.camera_axes()
        answer = {
            keys.JOINTS_2D: to_crop(found.joints_2d),
            keys.SCORES: found.joint_scores,
            keys.JOINTS_2D_PROJECTED: to_crop(found.joints_2d_projected),
            keys.JOINTS_3D: found.joints_3d @ axes,
            keys.VERTICES: found.vertices @ axes,
            keys.RENDERED_MASK: covered(to_crop(found.vertices_2d), found.faces, size, size),
        }
        if found.mask is not None:
            onto = _square(window.affine) @ np.linalg.inv(_square(turn.affine))
            answer[keys.MASK] = cv2.warpAffine(found.mask, onto[:2], (size, size))
        return {name: value.astype(np.float32) for name, value in answer.items()}

    def _turn(self, picture):
        """The window that turns a picture about its middle; without a turn it leaves all pixels where they are."""
        from hiu_tf.geometry.window import Window

        height, width = picture.shape[:2]
        if not self._told.turned:
            return Window((0.5 * (width - 1), 0.5 * (width - 1)), width, width)
        side = math.ceil(math.hypot(height, width))
        angle = self._rng.uniform(-math.pi, math.pi)
        return Window((0.5 * (width - 1), 0.5 * (height - 1)), side, side, angle=angle)

    def _found(self, shown):
        from hiu_tf.codecs.centres import overlap
        from hiu_tf.geometry.window import box_of

        told = shown.box if self._told.box else None, shown.side if self._told.side else None
        hands = self._predictor.predict(shown.picture, *told, min_score=0.0)
        common = lambda hand: overlap(box_of(hand.joints_2d), shown.box)
        # If no hand was detected, the whole picture is taken as its box.
        whole = (0, 0, shown.picture.shape[1], shown.picture.shape[0])
        return max(hands, key=common) if hands else self._predictor.predict(shown.picture, whole)[0]


def turned(shown: Shown, turn) -> Shown:
    """A labelled picture as the window `turn` shows it. A tight box is that of the turned joints; others keep their size."""
    import cv2

    from hiu_tf.geometry.window import box_of

    if not turn.angle:
        return shown
    picture = cv2.warpAffine(shown.picture, turn.affine, (turn.size, turn.size))
    if shown.joints is not None:
        joints = turn.to_crop(shown.joints)
        return Shown(picture, joints, box_of(joints), shown.side)
    size = np.array(shown.box[2:])
    return Shown(picture, None, (*(turn.to_crop(shown.box[:2] + size / 2) - size / 2), *size), shown.side)


def _square(affine):
    return np.vstack([affine, [0.0, 0.0, 1.0]])


def pictures_of(folder, part):
    """Yields a `Shown` for each record of a `_measure.Part`, in order."""
    import tensorflow as tf

    from hiu_tf.conventions import keys
    from pipelines.build import raw_records
    from pipelines.crop import boxes
    from pipelines.records import damaged_shards, parse
    from pipelines.schema import LEFT, RIGHT

    without = damaged_shards(folder, part.split) if part.skip_damaged else {}
    names = {RIGHT: "right", LEFT: "left"}
    for serialized in raw_records(folder, part.split, part.fold, part.limit, without).batch(1):
        record = parse(serialized)
        picture = tf.io.decode_image(record[keys.IMAGE][0], channels=3, expand_animations=False).numpy()
        joints = record[keys.JOINTS_2D][0].numpy()[record[keys.JOINTS_2D_WEIGHT][0].numpy() > 0]
        given = float(record[keys.BOX][0, 2]) > 0 or len(joints) < 2
        yield Shown(
            picture, None if given else joints, tuple(boxes(record)[0].numpy()), names.get(int(record[keys.SIDE][0]))
        )


def measure_product(predictor, part, metrics, turns: bool = False, write=no_rows) -> tuple[dict, dict]:
    """Evaluates the product, a `Predictor`, in each of ROWS, with `turns` in each of TURNED too.

    Returns:
      The results, as `_measure.measure_sets` returns them, and {set: {row: share of correctly predicted sides}}.
    """
    from hiu_tf.evaluation.evaluate import measure
    from pipelines.mixing import data_folder

    found, sides = {}, {}
    rows = ROWS | TURNED if turns else ROWS
    for name in part.sets:
        folder = data_folder(part.root, name)
        everyone = {row: Product(predictor, pictures_of(folder, part), told) for row, told in rows.items()}
        shown = with_progress(batches(folder, predictor.size, part), name, folder, part)
        found[name] = measure(everyone, shown, predictor.size, metrics, partial(write, name))
        sides[name] = {row: float(np.mean(p.sides)) for row, p in everyone.items() if p.sides}
    return found, sides


def side_table(sides: dict) -> str:
    """Formats the shares of correct sides as a Markdown table."""
    shown = {row for shares in sides.values() for row in shares}
    rows = [row for row in ROWS | TURNED if row in shown]
    show = lambda shares, row: f"{shares[row]:.3f}" if row in shares else "-"
    cells = ([name, *(show(shares, row) for row in rows)] for name, shares in sides.items())
    return markdown_table(["side said rightly", *rows], cells)
