"""What a picture gives: `Hands`, a list with a `Prediction` for each hand. Both draw, save and show themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from hiu_tf.geometry.window import Window, box_of_hand
from hiu_tf.hand.model import HandModel
from hiu_tf.pictures import encode_png
from hiu_tf.runtime import gestures, moving, results
from hiu_tf.runtime.crop import mask_to_picture
from hiu_tf.runtime.draw import overlay


class Shown:
    """What one hand and the hands of a picture have in common: they can be drawn, saved and shown in a notebook."""

    def _hands(self) -> Hands:
        raise NotImplementedError

    def plot(self, longest: int | None = None) -> np.ndarray:
        """Draws picture, skeletons, masks and meshes side by side: [h, w, 3] uint8 RGB.

        Args:
          longest: longest side of one panel in pixels; None: the size of the picture.
        """
        hands = self._hands()
        return overlay(hands.picture, hands, longest)

    def save(self, path: str | Path) -> Path:
        """Writes a file; its suffix selects the format.

        .png, .jpg: the drawing of `plot`; .json: all numbers with units; .obj, .ply: the posed meshes in
        metres; .glb: these with texture and skeleton.

        Raises:
          UserError: the suffix is none of these.
        """
        return results.save(Path(path), self._hands())

    def to_glb(self) -> bytes:
        """The textured meshes with their skeletons as a GLB file, in the camera's frame (runtime/moving.py)."""
        return moving.picture_glb(self._hands())

    def to_json(self) -> str:
        """All numbers as JSON text, with the names and units of `hiu predict`."""
        return json.dumps(self.to_dict())

    def to_dict(self) -> dict:
        """All numbers as lists and plain values."""
        raise NotImplementedError

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows."""
        return encode_png(self.plot(longest=320))


@dataclass(frozen=True, repr=False)
class Prediction(Shown):
    """The prediction for one hand. Camera frame: x right, y down, z forward, metres.

    Attributes:
      side: "right" or "left".
      joints_2d: [21, 2] pixels of the picture, decoded from the heat maps.
      joint_scores: [21] in [0, 1].
      crop_mask: [S, S] in [0, 1], of the crop; None for a network without masks.
      joints_3d: [21, 3] and vertices: [V, 3], in the frame that `frame` names.
      joints_2d_projected: [21, 2] and vertices_2d: [V, 2], pixels of the picture.
      shape, pose, rotation, translation: parameters of the hand model in the crop's virtual camera. For a left
        hand they describe its mirror image, a right hand. If the crop is rotated, they are rotated with it.
      frame: "camera" if K was given, else "crop": a virtual camera that looks at the crop, with the
        picture's axes.
      hand: name of the hand model that shape and pose belong to.
      crop: the window of the picture that the network saw.
      faces: [F, 3] int32 vertices of each triangle of the mesh, counter-clockwise seen from outside.
      picture: [H, W, 3] uint8, RGB.
      model: the right hand model that shape and pose belong to; None if it was not given (`Predictor(hand=...)`).
      K: [3, 3] intrinsics in pixels, as they were given, or None.
      number: of the hand in a clip; None in a single picture.
      detected: the detector's box (x, y, width, height), pixels; None for a given box and a followed hand.
      side_score: probability of `side`, by the network alone; None for a network without the task "side".
    """

    side: str
    joints_2d: np.ndarray
    joint_scores: np.ndarray
    crop_mask: np.ndarray | None
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
    faces: np.ndarray
    picture: np.ndarray = field(compare=False)
    model: HandModel | None = field(compare=False)
    K: np.ndarray | None = None
    number: int | None = None
    detected: tuple[float, float, float, float] | None = None
    side_score: float | None = None

    @cached_property
    def mask(self) -> np.ndarray | None:
        """[H, W] float32 in [0, 1], of the whole picture; computed when first used."""
        return None if self.crop_mask is None else mask_to_picture(self.crop_mask, self.crop, *self.picture.shape[:2])

    @property
    def score(self) -> float:
        """Mean confidence of the joints."""
        return float(self.joint_scores.mean())

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width and height in pixels: around the 2D joints, and halfway to the detector's box if there is one."""
        return box_of_hand(self.joints_2d, self.detected)

    @property
    def gesture(self) -> str | None:
        """Name of the gesture (runtime/gestures.py), such as "victory"; None for all that have no name."""
        return gestures.gesture(self.joints_3d, self.joints_2d)

    @property
    def pinch(self) -> float:
        """Distance between the tips of thumb and index finger, in palms (wrist to middle knuckle)."""
        return gestures.pinch(self.joints_3d)

    def to_dict(self) -> dict:
        """All numbers but the mask's as lists and plain values; units: `hiu_tf.runtime.results.UNITS`."""
        return results.prediction_json(self)

    def _hands(self):
        return Hands([self], self.picture)

    def __repr__(self) -> str:
        x, y, width, height = self.box
        shown = f" ({self.gesture})" if self.gesture else ""
        return f"<{self.side} hand{shown}, score {self.score:.2f}, box ({x:.0f}, {y:.0f}, {width:.0f}, {height:.0f})>"


class Hands(list, Shown):
    """The hands of one picture in descending order of score: a list of `Prediction`, empty if there are none.

    Attributes:
      picture: [H, W, 3] uint8, RGB.
      name: of the file, address or frame; "" for an array.
    """

    def __init__(self, hands: Iterable[Prediction], picture: np.ndarray, name: str = ""):
        super().__init__(hands)
        self.picture, self.name = picture, name

    def to_dict(self) -> dict:
        """The content of the .json file of `hiu predict`."""
        return results.hands_json(self)

    def _hands(self):
        return self
