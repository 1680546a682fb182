"""Draws predictions: skeleton, mask, mesh. NumPy + OpenCV, RGB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from hiu_tf.conventions.skeleton import BONES
from hiu_tf.geometry.shrink import smaller

if TYPE_CHECKING:
    from hiu_tf.runtime.prediction import Prediction

#: One colour per finger: thumb, index, middle, ring, little.
FINGER_COLORS = np.array([[230, 60, 60], [240, 170, 40], [80, 190, 80], [60, 140, 235], [170, 90, 220]])
_MASK_COLOR = np.array([60, 200, 255])
_MESH_COLOR = np.array([205, 190, 235])


def draw_skeleton(picture: np.ndarray, joints: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
    """Draws bones and joints on a copy of the picture; those of low confidence are thin."""
    drawn = picture.copy()
    scores = np.ones(len(joints)) if scores is None else scores
    width = max(1, round(np.ptp(joints, axis=0).max() / 60))
    for index, (parent, child) in enumerate(BONES):
        colour = tuple(map(int, FINGER_COLORS[index // 4]))
        thick = width if min(scores[parent], scores[child]) > 0.3 else max(1, width // 2)
        cv2.line(drawn, _pixel(joints[parent]), _pixel(joints[child]), colour, thick, cv2.LINE_AA)
    for index, joint in enumerate(joints):
        colour = tuple(map(int, FINGER_COLORS[(index - 1) // 4])) if index else (255, 255, 255)
        cv2.circle(drawn, _pixel(joint), width + 1, colour, -1, cv2.LINE_AA)
    return drawn


def draw_mask(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Tints the mask and draws its outline."""
    alpha = 0.45 * np.clip(mask, 0, 1)[..., np.newaxis]
    drawn = (picture * (1 - alpha) + _MASK_COLOR * alpha).astype(np.uint8)
    outline, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(drawn, outline, -1, tuple(map(int, _MASK_COLOR)), 1, cv2.LINE_AA)


def draw_mesh(picture: np.ndarray, vertices: np.ndarray, vertices_2d: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Draws the shaded mesh over a copy of the picture, far faces first, so that near faces hide them."""
    x, y = np.moveaxis(vertices_2d[faces], -1, 0)
    turning = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0]) > 0
    depth = vertices[faces][..., 2].mean(axis=1)
    if 0 < turning.sum() < len(faces):
        faces = faces[turning == (depth[turning].mean() < depth[~turning].mean())]
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    light = 0.35 + 0.65 * np.abs(normal @ np.array([0.25, -0.45, -0.86]))
    drawn = picture.copy()
    flat = np.round(vertices_2d[faces] * 16).astype(np.int32)
    for index in np.argsort(-corners[..., 2].mean(axis=1)):
        colour = tuple(map(int, _MESH_COLOR * light[index]))
        cv2.fillConvexPoly(drawn, flat[index], colour, cv2.LINE_8, shift=4)  # anti-aliased edges would leave seams
    return drawn


def draw_hands(picture: np.ndarray, hands: Sequence[Prediction]) -> np.ndarray:
    """Draws picture, skeletons, masks and meshes side by side; without a hand only the picture, at the same width."""
    panels = [picture, picture, picture, picture]
    for hand in hands:
        panels[1] = draw_skeleton(panels[1], hand.joints_2d, hand.joint_scores)
        panels[1] = _write_above(panels[1], hand.joints_2d, hand.gesture or "")
        panels[2] = panels[2] if hand.mask is None else draw_mask(panels[2], hand.mask)
        panels[3] = draw_mesh(panels[3], hand.vertices, hand.vertices_2d, hand.faces)
    if hands and all(hand.mask is None for hand in hands):
        del panels[2]
    return np.concatenate(panels, axis=1)


def overlay(picture: np.ndarray, hands: Sequence[Prediction], longest: int | None = None) -> np.ndarray:
    """Draws hands as `draw_hands` does; a picture whose longest side is above `longest` pixels is shrunk first."""
    scale = min(1.0, longest / max(picture.shape[:2])) if longest else 1.0
    if scale < 1:
        size = [max(1, round(scale * length)) for length in picture.shape[1::-1]]
        move = lambda points: (points + 0.5) * scale - 0.5
        picture = smaller(picture, *size)
        hands = [
            replace(
                hand,
                picture=picture,
                crop=replace(hand.crop, centre=tuple(move(np.array(hand.crop.centre))), side=scale * hand.crop.side),
                joints_2d=move(hand.joints_2d),
                vertices_2d=move(hand.vertices_2d),
            )
            for hand in hands
        ]
    return draw_hands(picture, hands)


def _write_above(drawn, joints, text):
    """Writes a word above a hand, inside the picture."""
    size = min(max(drawn.shape[1] / 900, 0.4), 1.2)
    line = 2 if size > 0.55 else 1  # small letters of thick lines run into each other
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    left, top = _pixel(joints.min(axis=0))
    left = min(max(left, 2), max(drawn.shape[1] - width - 2, 2))
    place = (left, min(max(top - height, height + 3), drawn.shape[0] - 3))
    for colour, thick in (((0, 0, 0), 2 * line + 1), ((255, 255, 255), line)):
        cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)
    return drawn


def _pixel(point):
    limited = np.clip(point, -1e5, 1e5)
    return int(round(float(limited[0]))), int(round(float(limited[1])))
