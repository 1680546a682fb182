"""One picture in, everything about its hand out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hiu_tf.conventions import SERVER_MODEL, keys
from hiu_tf.errors import UserError
from hiu_tf.runtime.backend import load_network, read_card, server_network
from hiu_tf.runtime.crop import Crop, around_box, box_of, search_windows

_REFINEMENTS = 2


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
      shape, pose, rotation, translation: parameters of the right hand that was posed; for a left
        hand they describe its mirror image.
      frame: "camera" where K was given, else "crop": the virtual camera that looks at the crop.
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
    crop: Crop

    @property
    def score(self) -> float:
        """Mean confidence of the joints."""
        return float(self.joint_scores.mean())


class Predictor:
    """Predicts hands with an exported model.

    Args:
      path: .tflite file or SavedModel folder.
      threads: for the TFLite interpreter.
      server: address of a TF Serving server that computes the model instead (serving/client.py); of `path` only
        the card is read then.
      server_model: its name there.
    """

    def __init__(self, path: str | Path, threads: int = 2, server: str | None = None, server_model: str = SERVER_MODEL):
        if server:
            self.network, self.card = server_network(server, server_model), read_card(path)
            self.engine = f"TF Serving at {server}"
        else:
            self.network, self.card, self.engine = load_network(path, threads)
        self.size = self.card["image_size"]
        self.faces = np.array(self.card["faces"], np.int32)
        self.camera = np.array(self.card["camera"], np.float64)

    def predict(self, picture: np.ndarray, box=None, side: str | None = None, K=None) -> Prediction:
        """Finds and reads the hand in a picture.

        Args:
          picture: [H, W, 3] uint8, RGB.
          box: (x, y, width, height) of the hand in pixels; without it the whole picture is searched.
          side: "right" or "left"; without it both are tried and the surer one is kept.
          K: [3, 3] intrinsics in pixels; with it 3D is in the real camera's frame.

        Raises:
          UserError: an argument has the wrong type, shape or range.
        """
        picture = _checked_picture(picture)
        mirrors = {None: (False, True), "right": (False,), "left": (True,)}
        if side not in mirrors:
            raise UserError(f"side must be right, left or None, got {side!r}")
        windows = []
        for mirrored in mirrors[side]:
            if box is None:
                windows += search_windows(*picture.shape[:2], mirrored, self.size)
            else:
                windows.append(around_box(_checked_box(box, picture), mirrored, self.size))
        crop, raw = self._best(picture, windows)
        for _ in range(_REFINEMENTS if box is None else 0):
            closer = around_box(box_of(crop.to_picture(raw[keys.JOINTS_2D])), crop.mirrored, self.size)
            crop, raw = self._best(picture, [closer])
        return self._in_picture(picture, crop, raw, K)

    def _best(self, picture, windows):
        """The window that the network is surest of, and its raw outputs."""
        outputs = self.network(np.stack([window.cut(picture) for window in windows]))
        best = int(np.argmax(outputs[keys.SCORES].mean(axis=1)))
        return windows[best], {name: values[best] for name, values in outputs.items()}

    def _in_picture(self, picture, crop, raw, K):
        vertices_2d = _project(raw[keys.VERTICES], self.camera)
        frame, points = "crop", [raw[keys.JOINTS_3D], raw[keys.VERTICES]]
        if K is not None:
            frame, points = "camera", _to_real_camera(points, crop, self.camera, np.asarray(K, float))
        elif crop.mirrored:
            points = [p * np.array([-1, 1, 1], np.float32) for p in points]
        parameters = {name: raw[name] for name in (keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION)}
        return Prediction(
            side="left" if crop.mirrored else "right",
            joints_2d=crop.to_picture(raw[keys.JOINTS_2D]),
            joint_scores=raw[keys.SCORES],
            mask=crop.mask_to_picture(raw[keys.MASK], *picture.shape[:2]) if keys.MASK in raw else None,
            joints_3d=points[0],
            vertices=points[1],
            joints_2d_projected=crop.to_picture(raw[keys.JOINTS_2D_PROJECTED]),
            vertices_2d=crop.to_picture(vertices_2d),
            frame=frame,
            hand=self.card["hand"]["name"],
            crop=crop,
            **parameters,
        )


def _to_real_camera(points, crop, virtual, K):
    """Virtual camera -> the camera of K: the wrist keeps its pixel, depth scales with the focal length."""
    joints = points[0]
    if K.shape != (3, 3) or not np.all(np.isfinite(K)) or min(K[0, 0], K[1, 1]) <= 0:
        raise UserError(f"K must be a 3x3 matrix of finite intrinsics with focal lengths > 0, got {K.tolist()}")
    flip = np.array([-1.0, 1, 1]) if crop.mirrored else np.ones(3)
    wrist = crop.to_picture(_project(joints[:1], virtual))[0]
    focal = K[0, 0] * crop.size / crop.side
    depth = joints[0, 2] * focal / virtual[0, 0]
    root = np.array([*((wrist - K[:2, 2]) / np.diag(K)[:2]), 1.0]) * depth
    ray = np.array([*((np.array(crop.centre) - K[:2, 2]) / np.diag(K)[:2]), 1.0])
    turn = _rotation_to(ray / np.linalg.norm(ray))
    return [((p - joints[0]) * flip) @ turn.T + root for p in points]


def _rotation_to(ray):
    """The smallest rotation [3, 3] that takes (0, 0, 1) to a unit ray."""
    x, y, z = ray
    cross = np.array([[0, 0, x], [0, 0, y], [-x, -y, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + z)


def _project(points, camera):
    flat = points @ camera.T
    return flat[:, :2] / np.maximum(flat[:, 2:], 1e-3)


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
