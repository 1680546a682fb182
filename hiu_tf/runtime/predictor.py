"""One picture in, everything about its hand out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hiu_tf.conventions import SERVER_MODEL, keys
from hiu_tf.errors import UserError
from hiu_tf.geometry.camera import project
from hiu_tf.geometry.window import Window, around_box, around_hand
from hiu_tf.hand.procedural import hand_model
from hiu_tf.runtime.backend import load_network, model_card
from hiu_tf.runtime.crop import cut, mask_to_picture, search_windows
from hiu_tf.runtime.evidence_fit import EvidenceFit

#: Looks at a hand that was searched for, after the first, each through a window around what the last one saw.
_REFINEMENTS = 2
#: A hand in a given box is looked at again through an upright window where it is turned by more than this
#: (radians), or where the box and what was seen in it differ by more than these shares of its side.
_LARGEST_K = 1e6  # pixels
_TURNED, _MOVED, _RESIZED = math.radians(30), 0.15, 1.25


@dataclass(frozen=True)
class Prediction:
    """What is known about one hand. Camera frame: x right, y down, z forward, metres.

    Attributes:
      side: "right" or "left".
      joints_2d: [21, 2] pixels of the picture, read off the heat maps.
      joint_scores: [21] in [0, 1].
      mask: [H, W] in [0, 1], the whole picture.
      joints_3d: [21, 3] and vertices: [V, 3], in the frame that `frame` names.
      joints_2d_projected: [21, 2] and vertices_2d: [V, 2], pixels of the picture.
      shape, pose, rotation, translation: parameters of the right hand that was posed, in the crop's virtual
        camera; for a left hand they describe its mirror image, and a turned crop turns them.
      frame: "camera" where K was given, else "crop": a virtual camera that looks at the crop, with the
        picture's axes.
      hand: name of the hand model that shape and pose belong to.
      crop: where the network looked.
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


class Predictor:
    """Predicts hands with an exported model. Threads may share one: they take turns in the interpreter.

    Args:
      path: .tflite file or SavedModel folder.
      threads: for the TFLite interpreter.
      server: address of a TF Serving server that computes the model instead (serving/client.py); of `path` only
        the card is read then.
      server_model: its name there.
      fit: whether the mesh is moved onto the joints that the heat maps show (runtime/evidence_fit.py).
      hand: the hand model that the network poses: "procedural" or an .npz. A network of another hand is not fitted.
    """

    def __init__(
        self,
        path: str | Path,
        threads: int = 2,
        server: str | None = None,
        server_model: str = SERVER_MODEL,
        fit: bool = True,
        hand: str = "procedural",
    ):
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
        model = hand_model(hand) if fit else None
        fits = model is not None and model.name == self.card["hand"]["name"]
        self._fit = EvidenceFit(model, self.camera) if fits else lambda raw: raw

    def predict(
        self,
        picture: np.ndarray,
        box=None,
        side: str | None = None,
        K=None,
        upright: bool = True,
        min_score: float | None = None,
    ) -> Prediction | None:
        """Finds and reads the hand in a picture.

        Args:
          picture: [H, W, 3] uint8, RGB.
          box: (x, y, width, height) of the hand in pixels; without it the whole picture is searched.
          side: "right" or "left"; without it both are tried and the surer one is kept.
          K: [3, 3] intrinsics in pixels; with it 3D is in the real camera's frame.
          upright: look again, through a window that turns the fingers up, where the first look at the box shows a
            hand that is turned, or that is not in the middle of it.
          min_score: of a hand that is searched for; None: what the model's card says.

        Returns:
          The hand; None where no box was given and nothing in the picture scores `min_score`.

        Raises:
          UserError: an argument has the wrong type, shape or range.
        """
        picture = _checked_picture(picture)
        mirrors = {None: (False, True), "right": (False,), "left": (True,)}
        if side not in mirrors:
            raise UserError(f"side must be right, left or None, got {side!r}")
        if box is None:
            windows = [w for m in mirrors[side] for w in search_windows(*picture.shape[:2], self.size, m)]
        else:
            box = _checked_box(box, picture)
            windows = [around_box(box, self.size, mirrored, scale=self.scale) for mirrored in mirrors[side]]
        crop, raw = self._best(picture, windows)
        for _ in range(_REFINEMENTS if box is None else int(upright)):
            closer = around_hand(crop.to_picture(raw[keys.JOINTS_2D]), crop, self.scale)
            if box is not None and not _differs(closer, crop):
                break
            crop, raw = self._best(picture, [closer])
        wanted = self.card["min_score"] if min_score is None else min_score
        if box is None and raw[keys.SCORES].mean() < wanted:
            return None
        return self._in_picture(picture, crop, self._fit(raw), K)

    def _best(self, picture, windows):
        """The window that the network is surest of, and its raw outputs."""
        crops = np.stack([cut(picture, window) for window in windows])
        if len(windows) > 2 and hasattr(self.network, "glance"):  # scores alone are a smaller answer of a server
            best = int(np.argmax(self.network.glance(crops).mean(axis=1)))
            windows, crops = windows[best : best + 1], crops[best : best + 1]
        outputs = self.network(crops)
        best = int(np.argmax(outputs[keys.SCORES].mean(axis=1)))
        return windows[best], {name: values[best] for name, values in outputs.items()}

    def _in_picture(self, picture, crop, raw, K):
        joints, vertices = raw[keys.JOINTS_3D], raw[keys.VERTICES]
        if K is None:
            move = lambda points: points @ crop.camera_axes().T
        else:
            K = _checked_camera(K)
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


def _differs(closer, window):
    """Whether a window around what was seen shows something else than the window through which it was seen."""
    moved = math.dist(closer.centre, window.centre) > _MOVED * window.side
    resized = not 1 / _RESIZED < closer.side / window.side < _RESIZED
    return moved or resized or abs(math.remainder(closer.angle, 2 * math.pi)) > _TURNED


def _checked_camera(K):
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
