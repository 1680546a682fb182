"""Evaluates the whole product: the records' pictures go through `Predictor`, as in `hiu predict`."""

from __future__ import annotations

from functools import partial

import numpy as np

from hiu_tf.programs._measure import batches, no_rows, with_progress
from hiu_tf.tables import markdown_table

#: Row of the table -> whether the predictor is given the labelled box, and the labelled side.
ROWS = {"box and side": (True, True), "box": (True, False), "whole picture": (False, False)}


class Product:
    """A predictor for `evaluation.evaluate.measure` that uses the whole picture instead of the crop cut from it.

    Its predictions are transformed to the crop, so that the metrics are comparable with those of other predictors.
    They include no rendered mask.

    Args:
      predictor: a `Predictor` of the runtime.
      pictures: output of `pictures_of`, in the order of the crops.
      gives_box, gives_side: whether the predictor is given the labelled box and side.
    """

    def __init__(self, predictor, pictures, gives_box: bool, gives_side: bool):
        self._predictor, self._pictures = predictor, iter(pictures)
        self._box, self._side = gives_box, gives_side
        self.sides = []  # for each hand with a labelled side: whether the prediction is correct

    def __call__(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """Predictions for the next pictures, one for each crop [B, S, S, 3]."""
        answers = [self._one(*next(self._pictures), crops.shape[1]) for _ in crops]
        return {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}

    def _one(self, picture, box, side, size):
        import cv2

        from hiu_tf.codecs.centres import overlap
        from hiu_tf.conventions import keys
        from hiu_tf.geometry.window import around_box, box_of

        hands = self._predictor.predict(
            picture, box if self._box else None, side if self._side else None, min_score=0.0
        )
        shown = lambda hand: overlap(box_of(hand.joints_2d), box)
        # If no hand was detected, the whole picture is taken as its box.
        whole = (0, 0, picture.shape[1], picture.shape[0])
        found = max(hands, key=shown) if hands else self._predictor.predict(picture, whole)[0]
        if side and not self._side:
            self.sides.append(found.side == side)
        window = around_box(box, size, mirrored=side == "left")
        axes = window.camera_axes()  # orthogonal: the transpose maps from the picture to the crop
        answer = {
            keys.JOINTS_2D: window.to_crop(found.joints_2d),
            keys.SCORES: found.joint_scores,
            keys.JOINTS_2D_PROJECTED: window.to_crop(found.joints_2d_projected),
            keys.JOINTS_3D: found.joints_3d @ axes,
            keys.VERTICES: found.vertices @ axes,
        }
        if found.mask is not None:
            answer[keys.MASK] = cv2.warpAffine(found.mask, window.affine, (size, size))
        return {name: value.astype(np.float32) for name, value in answer.items()}


def pictures_of(folder, part):
    """Yields (picture [H, W, 3] uint8, box, "right", "left" or None) for each record of a `_measure.Part`, in order."""
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
        yield picture, boxes(record)[0].numpy(), names.get(int(record[keys.SIDE][0]))


def measure_product(path: str, part, metrics, fit: bool = True, write=no_rows) -> tuple[dict, dict]:
    """Evaluates the product with one predictor for each of ROWS.

    Returns:
      The results, as `_measure.measure_sets` returns them, and {set: {row: share of correctly predicted sides}}.
    """
    from hiu_tf.evaluation.evaluate import measure
    from hiu_tf.runtime.predictor import Predictor
    from pipelines.mixing import data_folder

    predictor, found, sides = Predictor(path, fit=fit), {}, {}
    for name in part.sets:
        folder = data_folder(part.root, name)
        everyone = {row: Product(predictor, pictures_of(folder, part), *told) for row, told in ROWS.items()}
        shown = with_progress(batches(folder, predictor.size, part), name, folder, part)
        found[name] = measure(everyone, shown, predictor.size, metrics, partial(write, name))
        sides[name] = {row: float(np.mean(p.sides)) for row, p in everyone.items() if p.sides}
    return found, sides


def side_table(sides: dict) -> str:
    """Formats the shares of correct sides as a Markdown table."""
    rows = [row for row, (_, gives_side) in ROWS.items() if not gives_side]
    show = lambda shares, row: f"{shares[row]:.3f}" if row in shares else "-"
    cells = ([name, *(show(shares, row) for row in rows)] for name, shares in sides.items())
    return markdown_table(["side said rightly", *rows], cells)
