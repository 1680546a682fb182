"""What the network says about a few pictures, drawn: input, 2D, mask, mesh and POF of each."""

from __future__ import annotations

import cv2
import numpy as np
import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.hand.model import HandModel
from hiu_tf.models.reconstruction import reconstruct
from hiu_tf.runtime.draw import draw_mask, draw_mesh, draw_skeleton

_PANEL = 128  # pixels


def prediction_sheet(network, hand: HandModel, images: np.ndarray) -> np.ndarray:
    """A row for each crop [B, S, S, 3] in [0, 1]: picture, skeleton, mask, mesh, POF; uint8 RGB."""
    size = images.shape[1]
    outputs = {name: tf.cast(value, tf.float32) for name, value in network(images, training=False)[-1].items()}
    outputs |= reconstruct(outputs, hand, size)
    found = {name: np.nan_to_num(value.numpy()) for name, value in outputs.items()}  # a run that diverged is drawn too
    rows = [_row(image, {name: value[n] for name, value in found.items()}, hand) for n, image in enumerate(images)]
    return np.concatenate(rows)


def draw_field(field: np.ndarray) -> np.ndarray:
    """POF [H, W, 60] as colours: the longest bone vector of each pixel, x, y, z as red, green, blue."""
    vectors = field.reshape(*field.shape[:2], -1, 3)
    longest = np.abs(vectors).sum(axis=-1).argmax(axis=-1)
    vectors = np.take_along_axis(vectors, longest[..., None, None], axis=2)[:, :, 0]
    return (np.clip(0.5 + 0.5 * vectors, 0, 1) * 255).astype(np.uint8)


def _row(image, found, hand):
    picture = (np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    vertices = found[keys.VERTICES]
    flat = vertices @ virtual_intrinsics(len(image)).T
    panels = [
        picture,
        draw_skeleton(picture, found[keys.JOINTS_2D], found[keys.SCORES]),
        draw_mask(picture, 1 / (1 + np.exp(-found[keys.MASK][..., 0]))),
        draw_mesh(picture, vertices, flat[:, :2] / np.maximum(flat[:, 2:], 1e-3), hand.faces),
        draw_field(found[keys.POF]),
    ]
    return np.concatenate([cv2.resize(panel, (_PANEL, _PANEL), interpolation=cv2.INTER_AREA) for panel in panels], 1)
