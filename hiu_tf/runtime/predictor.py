"""The predictor: from a picture to all predictions about its hands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np

from hiu_tf.addresses import shown
from hiu_tf.codecs.centres import Found
from hiu_tf.conventions import SERVER_MODEL, keys
from hiu_tf.errors import UserError
from hiu_tf.geometry.camera import project
from hiu_tf.geometry.window import Window, around_box, around_hand
from hiu_tf.hand.load import load_hand
from hiu_tf.runtime.arguments import MIRRORED, checked_box, checked_camera, checked_most, checked_picture, checked_sides
from hiu_tf.runtime.backend import load_network, model_card
from hiu_tf.runtime.clips import opened
from hiu_tf.runtime.crop import cut, in_picture
from hiu_tf.runtime.detector import Detector
from hiu_tf.runtime.evidence_fit import EvidenceFit
from hiu_tf.runtime.looks import MOST_HANDS, Candidate, Look, different, left_odds, together
from hiu_tf.runtime.prediction import Hands, Prediction
from hiu_tf.runtime.shipped import DETECTOR, shipped_model
from hiu_tf.runtime.sources import is_clip, is_one_picture, open_picture, pictures_of
from hiu_tf.runtime.tracker import follow

#: A hand is predicted a second time, from the upright window around its predicted joints, if that window differs from
#: the first one by more than this angle (radians), shift (share of the side) or factor of its side.
_TURNED, _MOVED, _RESIZED = math.radians(30), 0.15, 1.25
#: Share of the score threshold for the first prediction, whose window may be inaccurate.
_WORTH_A_LOOK = 0.7
#: Maximum number of crops in one call of the network.
_MOST_CROPS = 64


class Predictor:
    """Detects hands and predicts them with an exported model. Thread-safe: threads take turns in the interpreters.

    Args:
      path: .tflite or .onnx file, SavedModel folder, or the name of a shipped model ("hiu_edge": smaller and faster);
        None: "hiu_mobile".
      threads: number of threads of the interpreter of a file.
      server: address of a TF Serving server that runs the model instead (serving/client.py); then only the card is
        read from `path`.
      server_model: name of the model on the server.
      detector: .tflite or .onnx file of the hand detector (hiu detector); None: the shipped one. It is loaded at the first
        picture without a box or without a side.
      fit: whether to fit the mesh to the joints of the heat maps (runtime/evidence_fit.py).
      fit_mask: whether to fit it to the mask too, so that it covers the hand better (docs/hand.md: what it gains and costs).
      hand: the hand model that the network poses: "procedural" or an .npz. Without a matching model nothing is fitted.

    Raises:
      UserError: the model cannot be loaded, or `fit_mask` without `fit` or without a matching hand.
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
        fit_mask: bool = False,
    ):
        self._detector_file, self._threads = detector, threads
        path = path or shipped_model()
        if server:
            from hiu_tf.serving.network import ServedNetwork

            self.card = model_card(path)
            self.network = ServedNetwork(server, server_model, self.card)
            self.engine = f"TF Serving at {shown(server)}"
        else:
            self.network, self.card, self.engine = load_network(path, threads)
        self.size = self.card["image_size"]
        self.faces = np.array(self.card["faces"], np.int32)
        self.camera = np.array(self.card["camera"], np.float64)
        self.scale = float(self.card["window_scale"])
        model = load_hand(hand)
        self.hand = model if model.name == self.card["hand"]["name"] else None
        if fit_mask and not fit:
            raise UserError("fit_mask needs fit")
        if fit_mask and self.hand is None:
            raise UserError(f"fit_mask needs the hand {self.card['hand']['name']}: give it as hand")
        self._fit = EvidenceFit(self.hand, self.camera, fit_mask) if fit and self.hand is not None else None

    @cached_property
    def detector(self) -> Detector:
        """The detector; loaded when first used."""
        return Detector(self._detector_file or shipped_model(DETECTOR), self._threads)

    def __call__(self, source, smooth: float = 0.5, **options) -> Hands | Iterator[Hands]:
        """Predicts the hands of anything: a picture, many pictures, or a clip.

        Args:
          source: the path, http(s) address, bytes, array or PIL image of a picture; or a folder, a list or a generator of
            pictures, each on its own; or a clip's path, the number of a camera or the address of a stream as text,
            whose hands are followed from frame to frame.
          smooth: strength of the temporal filter of a clip's hands, from 0 to 1.
          options: arguments of `predict`; for clips those of `Tracker`.

        Returns:
          `Hands` of the one picture; for all others an iterator of the `Hands` of each picture or frame.

        Raises:
          UserError, OSError: as `predict`.
        """
        if is_one_picture(source):
            return self.predict(source, **options)
        if is_clip(source):
            return self._frames(source, smooth, options)
        return (self.predict(picture, **options) for picture in pictures_of(source))

    def _frames(self, source, smooth, options):
        with opened(source) as clip:
            yield from follow(self, clip.frames, clip.rate, smooth, **options)

    def predict(self, picture, box=None, side: str | None = None, K=None, **options) -> Hands:
        """Detects and predicts the hands of a picture.

        Args:
          picture: [H, W, 3] uint8, RGB; or a PIL image, the content of a picture file as bytes, or its path or http(s)
            address.
          box: (x, y, width, height) of one hand in pixels; without it the detector finds the hands.
          side, K, options: as in `predict_many`.

        Returns:
          The hands in descending order of score; exactly one if a box was given, otherwise possibly none.

        Raises:
          UserError: an argument has the wrong type, shape or range, or the file is not a picture.
          OSError: the file cannot be read.
        """
        return self.predict_many([picture], None if box is None else [box], side, K, **options)[0]

    def predict_many(
        self,
        pictures: Sequence,
        boxes: Sequence | None = None,
        side: str | None = None,
        K=None,
        upright: bool = True,
        min_score: float | None = None,
        most: int = MOST_HANDS,
        thorough: bool = False,
    ) -> list[Hands]:
        """Predicts several pictures; the network gets the windows of all of them at once.

        That is faster for a SavedModel, a server, or a .tflite file that was exported with a larger batch.

        Args:
          pictures: each as in `predict`.
          boxes: the box of one hand for each picture; without it the detector finds the hands.
          side: "right" or "left"; without it detector and network predict the side (of a given box from the picture
            around it), and if they are unsure both are tried.
          K: [3, 3] intrinsics in pixels; with it 3D is in the real camera's frame.
          upright: predict a hand a second time, from a window that turns its fingers up, if the first prediction shows
            that it is rotated or not in the middle of the window. False: do not turn the window of a given box.
          min_score: threshold for a detected hand: the weighted geometric mean of the detector's score and the joints' must
            reach it. None: the one of the model's card.
          most: maximum number of hands of a picture.
          thorough: also detect in parts of the picture, to find small hands.

        Returns:
          The hands of each picture; the errors are those of `predict`.
        """
        if boxes is not None and len(boxes) != len(pictures):
            raise UserError(f"there are {len(boxes)} boxes for {len(pictures)} pictures")
        opened = [open_picture(picture) for picture in pictures]
        pixels = [checked_picture(picture) for picture, _ in opened]
        K = checked_camera(K)
        checked_sides(side)
        checked_most(most)
        if boxes is None:
            least = self.card["min_score"] if min_score is None else min_score
            wanted = [
                c for n, picture in enumerate(pixels) for c in self._detected(n, picture, side, 2 * most, thorough)
            ]
        else:
            least = 0.0
            wanted = [
                self._given(n, picture, box, side, upright) for n, (picture, box) in enumerate(zip(pixels, boxes))
            ]
        hands = [[] for _ in pixels]
        for number, hand in self._read(wanted, least, most, K, upright):
            hands[number].append(hand)
        return [Hands(different(own), picture, name) for own, picture, (_, name) in zip(hands, pixels, opened)]

    def _read(self, candidates, least, most, K, upright):
        """Yields the number of the picture and the hand of each candidate that scores `least`, at most `most` a picture."""
        scored = lambda look, score: together(look.candidate.found, score)
        looks = [look for look in self._looks(candidates) if not scored(look, look.score) < _WORTH_A_LOOK * least]
        of_picture = lambda n: [look for look in looks if look.candidate.number == n]
        numbers = sorted({look.candidate.number for look in looks})
        looks = [look for n in numbers for look in different(of_picture(n))[:most]]
        for look, hand in zip(looks, self._finished(looks, K, upright)):
            if not scored(look, hand.score) < least:
                yield look.candidate.number, hand

    def _detected(self, number, picture, side, most, thorough):
        """A candidate for each hand that the detector finds."""
        found = self.detector.find(picture, most=most, thorough=thorough)
        return [
            Candidate(picture, self.windows(hand, side), left_odds(hand), hand.score, hand.box, number)
            for hand in found
        ]

    def _given(self, number, picture, box, side, upright):
        """The candidate of a given box. Without a side the detector looks at it for direction and side."""
        box = checked_box(box, picture)
        hand = self.detector.near(picture, box) if side is None and upright else None
        if hand is not None:
            return Candidate(picture, self.windows(hand._replace(box=box)), left_odds(hand), number=number)
        windows = [around_box(box, self.size, MIRRORED[s], scale=self.scale) for s in checked_sides(side)]
        return Candidate(picture, windows, number=number)

    def windows(self, hand: Found, side: str | None = None) -> list[Window]:
        """The upright windows from which to predict a detected hand, one for each possible side, the likelier first."""
        sides = sorted(checked_sides(side), key=lambda side: (side == "left") != (hand.left > 0.5))
        across, along = hand.direction
        return [
            around_box(
                hand.box,
                self.size,
                MIRRORED[s],
                -math.pi / 2 - math.atan2(along, -across if MIRRORED[s] else across),
                self.scale,
            )
            for s in sides
        ]

    def read(
        self, picture: np.ndarray, windows: list[Window], K=None, again: bool = True, left: float = 0.0,
        shape: Callable | None = None,
    ) -> Prediction:  # fmt: skip
        """Predicts one hand as the side that is likelier.

        Args:
          picture: [H, W, 3] uint8, RGB.
          windows: of the same hand, one for each possible side, the likelier first.
          K: as in `predict`.
          again: predict a second time if the first prediction shows that another window fits the hand better.
          left: the detector's log odds of a left hand (`left_odds`).
          shape: (beta [10] of the regressor, score) -> the beta with which the mesh is fitted; None: beta is fitted too.
        """
        return self._finished(self._looks([Candidate(picture, windows, left)]), checked_camera(K), again, shape)[0]

    def _finished(self, looks, K, again, shape=None):
        """Predicts a second time where needed, fits the meshes, and converts the predictions to the pictures."""
        closer = [around_hand(look.window.to_picture(look.raw[keys.JOINTS_2D]), look.window, self.scale) for look in looks]  # fmt: skip
        second = [k for k, look in enumerate(looks) if again and _differs(closer[k], look.window)]
        again_at = [looks[k].candidate._replace(windows=[closer[k]]) for k in second]
        better = dict(zip(second, self._looks(again_at)))
        looks = [better.get(k, look) for k, look in enumerate(looks)]
        fitted = [self._fitted(look, shape) if self._fit else look.raw for look in looks]
        return [
            self._in_picture(look.candidate.picture, look.window, raw, K, look.candidate.detected)
            for look, raw in zip(looks, fitted)
        ]

    def _fitted(self, look, shape):
        beta = shape(look.raw[keys.SHAPE], look.score) if shape else None
        return self._fit(look.raw, beta, partial(in_picture, look.window, *look.candidate.picture.shape[:2]))

    def _looks(self, candidates):
        """Looks at each candidate as its likelier side, and as the other one where that does not convince."""
        looks = self._seen([(candidate, candidate.windows[0]) for candidate in candidates])
        doubted = [k for k, c in enumerate(candidates) if len(c.windows) > 1 and not looks[k].is_convinced]
        for k, other in zip(doubted, self._seen([(candidates[k], candidates[k].windows[1]) for k in doubted])):
            looks[k] = max(looks[k], other, key=lambda look: look.evidence)
        return looks

    def _seen(self, pairs):
        """Runs the network for (candidate, window) pairs."""
        if not pairs:
            return []
        crops = np.stack([cut(candidate.picture, window) for candidate, window in pairs])
        parts = [self.network(crops[k : k + _MOST_CROPS]) for k in range(0, len(crops), _MOST_CROPS)]
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return [
            Look(candidate, window, {name: values[k] for name, values in outputs.items()})
            for k, (candidate, window) in enumerate(pairs)
        ]

    def _in_picture(self, picture, crop, raw, K, detected=None):
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
            crop_mask=raw.get(keys.MASK),
            joints_3d=move(joints),
            vertices=move(vertices),
            joints_2d_projected=crop.to_picture(raw[keys.JOINTS_2D_PROJECTED]),
            vertices_2d=crop.to_picture(project(vertices, self.camera)),
            frame="crop" if K is None else "camera",
            hand=self.card["hand"]["name"],
            crop=crop,
            faces=self.faces[:, ::-1] if crop.mirrored else self.faces,
            picture=picture,
            model=self.hand,
            K=K,
            detected=detected,
            side_score=float(raw[keys.RIGHT]) if keys.RIGHT in raw else None,
            **parameters,
        )


def _differs(closer, window):
    """Whether the window around the predicted joints differs enough from the window used to predict again."""
    moved = math.dist(closer.centre, window.centre) > _MOVED * window.side
    resized = not 1 / _RESIZED < closer.side / window.side < _RESIZED
    return moved or resized or abs(math.remainder(closer.angle - window.angle, 2 * math.pi)) > _TURNED


def predict(source, **options):
    """Predicts the hands of a picture, many pictures or a clip with the shipped models, which are loaded once.

    Arguments and result are those of `Predictor.__call__`.
    """
    return _shipped()(source, **options)


@lru_cache(maxsize=1)
def _shipped():
    return Predictor()
