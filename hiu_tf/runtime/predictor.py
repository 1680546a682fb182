"""The predictor: from a picture to all predictions about its hands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hiu_tf.codecs.centres import Found, overlap
from hiu_tf.conventions import SERVER_MODEL, keys
from hiu_tf.errors import UserError
from hiu_tf.geometry.camera import project
from hiu_tf.geometry.window import Window, around_box, around_hand, box_of
from hiu_tf.hand.load import load_hand
from hiu_tf.pictures import read_picture
from hiu_tf.runtime.backend import load_network, model_card
from hiu_tf.runtime.crop import cut, mask_to_picture
from hiu_tf.runtime.detector import Detector
from hiu_tf.runtime.evidence_fit import EvidenceFit
from hiu_tf.runtime.shipped import DETECTOR, shipped_model

#: Default for the maximum number of hands in a picture.
MOST_HANDS = 8
#: A hand is predicted a second time, from the upright window around its predicted joints, if that window differs from
#: the first one by more than this angle (radians), shift (share of the side) or factor of its side.
_TURNED, _MOVED, _RESIZED = math.radians(30), 0.15, 1.25
#: If the detector's probability of one side is above the first number, only that side is tried. Otherwise both are, and
#: the log odds times the second number are added to the scores. Chosen on val: scores alone fail on hands across a
#: table, the detector alone fails on turned hands.
_SURE, _ODDS = 0.95, 0.03
#: Share of the score threshold for the first prediction, whose window may be inaccurate.
_WORTH_A_LOOK = 0.7
#: Two predictions whose boxes have a larger intersection over union are the same hand.
_SAME_HAND = 0.6
_LARGEST_K = 1e6  # pixels
#: Side -> whether its crop is mirrored: the network only knows right hands.
_MIRRORED = {"right": False, "left": True}


@dataclass(frozen=True)
class Prediction:
    """The prediction for one hand. Camera frame: x right, y down, z forward, metres.

    Attributes:
      side: "right" or "left".
      joints_2d: [21, 2] pixels of the picture, decoded from the heat maps.
      joint_scores: [21] in [0, 1].
      mask: [H, W] in [0, 1], the whole picture.
      joints_3d: [21, 3] and vertices: [V, 3], in the frame that `frame` names.
      joints_2d_projected: [21, 2] and vertices_2d: [V, 2], pixels of the picture.
      shape, pose, rotation, translation: parameters of the hand model in the crop's virtual camera. For a left
        hand they describe its mirror image, a right hand. If the crop is rotated, they are rotated with it.
      frame: "camera" if K was given, else "crop": a virtual camera that looks at the crop, with the
        picture's axes.
      hand: name of the hand model that shape and pose belong to.
      crop: the window of the picture that the network saw.
    """

    side: str
    joints_2d: np.ndarray
    joint_scores: np.ndarray
    mask: np.ndarray | None
    joints_3d: np.ndarray
    vertices: np.ndarray
    joints_2d_projected: np.ndarray
    vertices_2d: np.ndarray
    shape: np.ndarray
    pose: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    frame: str
    hand: str
    crop: Window

    @property
    def score(self) -> float:
        """Mean confidence of the joints."""
        return float(self.joint_scores.mean())


class _Look(NamedTuple):
    """A first prediction of a hand: the detector's score, the window, and the network's outputs for it."""

    found: float
    window: Window
    raw: dict[str, np.ndarray]

    @property
    def score(self) -> float:
        return float(self.raw[keys.SCORES].mean())

    @property
    def box(self):
        return box_of(self.window.to_picture(self.raw[keys.JOINTS_2D]))


class Predictor:
    """Detects hands and predicts them with an exported model. Thread-safe: threads take turns in the interpreters.

    Args:
      path: .tflite or .onnx file, or SavedModel folder; None: the shipped model.
      threads: number of threads of the interpreter of a file.
      server: address of a TF Serving server that runs the model instead (serving/client.py); then only the card is
        read from `path`.
      server_model: name of the model on the server.
      detector: .tflite or .onnx file of the hand detector (hiu detector); None: the shipped one. It is loaded at the first
        picture without a box.
      fit: whether to fit the mesh to the joints of the heat maps (runtime/evidence_fit.py).
      hand: the hand model that the network poses: "procedural" or an .npz. Without a matching model nothing is fitted.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        threads: int = 2,
        server: str | None = None,
        server_model: str = SERVER_MODEL,
        fit: bool = True,
        hand: str = "procedural",
        detector: str | Path | None = None,
    ):
        self._detector_file, self._threads = detector, threads
        path = path or shipped_model()
        if server:
            from hiu_tf.serving.network import ServedNetwork

            self.card = model_card(path)
            self.network = ServedNetwork(server, server_model, self.card)
            self.engine = f"TF Serving at {server}"
        else:
            self.network, self.card, self.engine = load_network(path, threads)
        self.size = self.card["image_size"]
        self.faces = np.array(self.card["faces"], np.int32)
        self.camera = np.array(self.card["camera"], np.float64)
        self.scale = float(self.card["window_scale"])
        model = load_hand(hand) if fit else None
        fits = model is not None and model.name == self.card["hand"]["name"]
        self._fit = EvidenceFit(model, self.camera) if fits else lambda raw: raw

    @cached_property
    def detector(self) -> Detector:
        """The detector; loaded when first used."""
        return Detector(self._detector_file or shipped_model(DETECTOR), self._threads)

    def predict(
        self,
        picture: np.ndarray | str | Path,
        box=None,
        side: str | None = None,
        K=None,
        upright: bool = True,
        min_score: float | None = None,
        most: int = MOST_HANDS,
        thorough: bool = False,
    ) -> list[Prediction]:
        """Detects and predicts the hands of a picture.

        Args:
          picture: [H, W, 3] uint8, RGB; or the path of a picture file.
          box: (x, y, width, height) of one hand in pixels; without it the detector finds the hands.
          side: "right" or "left"; without it the detector predicts the side, and if it is unsure both are tried.
          K: [3, 3] intrinsics in pixels; with it 3D is in the real camera's frame.
          upright: predict a hand a second time, from a window that turns its fingers up, if the first prediction shows
            that it is rotated or not in the middle of the window.
          min_score: threshold for a detected hand: the geometric mean of the detector's score and the joints' must reach
            it. None: the one of the model's card.
          most: maximum number of hands.
          thorough: also detect in parts of the picture, to find small hands.

        Returns:
          The hands in descending order of score; exactly one if a box was given, otherwise possibly none.

        Raises:
          UserError: an argument has the wrong type, shape or range, or the file is not a picture.
          OSError: the file cannot be read.
        """
        picture = read_picture(picture) if isinstance(picture, (str, Path)) else picture
        picture, K, sides = _checked_picture(picture), _checked_camera(K), _checked_sides(side)
        if box is not None:
            box = _checked_box(box, picture)
            windows = [around_box(box, self.size, _MIRRORED[s], scale=self.scale) for s in sides]
            return [self.read(picture, windows, K, upright)]
        found = self.detector.find(picture, most=2 * most, thorough=thorough)
        least = self.card["min_score"] if min_score is None else min_score
        looks = [_Look(h.score, *self._best(picture, self.windows(h, side), left_odds(h))) for h in found]
        looks = [look for look in looks if _together(look.found, look.score) >= _WORTH_A_LOOK * least]
        looks = _without_twins(looks, lambda look: look.score, lambda look: look.box)[:most]
        hands = [(look.found, self._finished(picture, look.window, look.raw, K, upright)) for look in looks]
        return different([hand for found, hand in hands if _together(found, hand.score) >= least])

    def windows(self, hand: Found, side: str | None = None) -> list[Window]:
        """The upright windows from which to predict a detected hand, one for each possible side."""
        sides = _checked_sides(side)
        if len(sides) > 1 and max(hand.left, 1 - hand.left) >= _SURE:
            sides = ["left" if hand.left > 0.5 else "right"]
        across, along = hand.direction
        return [
            around_box(
                hand.box,
                self.size,
                _MIRRORED[s],
                -math.pi / 2 - math.atan2(along, -across if _MIRRORED[s] else across),
                self.scale,
            )
            for s in sides
        ]

    def read(
        self, picture: np.ndarray, windows: list[Window], K=None, again: bool = True, left: float = 0.0
    ) -> Prediction:
        """Predicts one hand from the window with the highest score.

        Args:
          picture: [H, W, 3] uint8, RGB.
          windows: candidate windows of the same hand.
          K: as in `predict`.
          again: predict a second time if the first prediction shows that another window fits the hand better.
          left: added to the score of mirrored windows, for a left hand (`left_odds`).
        """
        return self._finished(picture, *self._best(picture, windows, left), _checked_camera(K), again)

    def _finished(self, picture, crop, raw, K, again):
        """Predicts a second time if needed, fits the mesh, and converts the prediction to the picture."""
        closer = around_hand(crop.to_picture(raw[keys.JOINTS_2D]), crop, self.scale)
        if again and _differs(closer, crop):
            crop, raw = self._best(picture, [closer])
        return self._in_picture(picture, crop, self._fit(raw), K)

    def _best(self, picture, windows, left=0.0):
        """The window with the highest score, and its outputs; `left` is added to the scores of mirrored windows."""
        outputs = self.network(np.stack([cut(picture, window) for window in windows]))
        best = int(np.argmax(outputs[keys.SCORES].mean(axis=1) + [left * window.mirrored for window in windows]))
        return windows[best], {name: values[best] for name, values in outputs.items()}

    def _in_picture(self, picture, crop, raw, K):
        joints, vertices = raw[keys.JOINTS_3D], raw[keys.VERTICES]
        if K is None:
            move = lambda points: points @ crop.camera_axes().T
        else:
            move = lambda points: crop.to_camera(points, joints[0], K)
        parameters = {name: raw[name] for name in (keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION)}
        return Prediction(
            side="left" if crop.mirrored else "right",
            joints_2d=crop.to_picture(raw[keys.JOINTS_2D]),
            joint_scores=raw[keys.SCORES],
            mask=mask_to_picture(raw[keys.MASK], crop, *picture.shape[:2]) if keys.MASK in raw else None,
            joints_3d=move(joints),
            vertices=move(vertices),
            joints_2d_projected=crop.to_picture(raw[keys.JOINTS_2D_PROJECTED]),
            vertices_2d=crop.to_picture(project(vertices, self.camera)),
            frame="crop" if K is None else "camera",
            hand=self.card["hand"]["name"],
            crop=crop,
            **parameters,
        )


def different(hands: list[Prediction]) -> list[Prediction]:
    """Removes duplicates: hands that overlap one with a higher score. Returns them in descending order of score."""
    return _without_twins(hands, lambda hand: hand.score, lambda hand: box_of(hand.joints_2d))


def left_odds(hand: Found) -> float:
    """Weighted log odds of the detector that a hand is a left one, to be added to the score of a left hand."""
    left = min(max(hand.left, 1e-6), 1 - 1e-6)
    return _ODDS * math.log(left / (1 - left))


def _together(found, read):
    """Combined score of a hand: geometric mean of the detector's score and the network's (mean over joints)."""
    return math.sqrt(found * read)


def _without_twins(hands, score, box):
    kept = []
    for hand in sorted(hands, key=score, reverse=True):
        if all(overlap(box(hand), box(other)) <= _SAME_HAND for other in kept):
            kept.append(hand)
    return kept


def _differs(closer, window):
    """Whether the window around the predicted joints differs enough from the window used to predict again."""
    moved = math.dist(closer.centre, window.centre) > _MOVED * window.side
    resized = not 1 / _RESIZED < closer.side / window.side < _RESIZED
    return moved or resized or abs(math.remainder(closer.angle - window.angle, 2 * math.pi)) > _TURNED


def _checked_sides(side):
    """The sides to try: the given one, or both for None."""
    if side not in (None, *_MIRRORED):
        raise UserError(f"side must be right, left or None, got {side!r}")
    return [side] if side else list(_MIRRORED)


def _checked_camera(K):
    if K is None:
        return None
    K = np.asarray(K, float)
    if K.shape != (3, 3) or not np.all(np.abs(K) <= _LARGEST_K) or min(K[0, 0], K[1, 1]) <= 0:
        raise UserError(f"K must be a 3x3 matrix of finite intrinsics with focal lengths > 0, got {K.tolist()}")
    return K


def _checked_picture(picture):
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or min(picture.shape[:2]) < 2:
        raise UserError(
            f"a picture is [H, W, 3] uint8 RGB of at least 2x2 pixels, got shape {picture.shape} and type {picture.dtype}"
        )
    return picture


def _checked_box(box, picture):
    try:
        x, y, width, height = map(float, box)
    except (TypeError, ValueError) as error:
        raise UserError(f"box is (x, y, width, height) in pixels, got {box!r}") from error
    outside = x >= picture.shape[1] or y >= picture.shape[0] or x + width <= 0 or y + height <= 0
    huge = max(width, height) > 4 * max(picture.shape[:2])
    if not np.all(np.isfinite([x, y, width, height])) or width <= 0 or height <= 0 or outside or huge:
        raise UserError(f"box {tuple(box)} does not fit the picture of {picture.shape[1]}x{picture.shape[0]}")
    return x, y, width, height
