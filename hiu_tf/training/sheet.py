"""Draws predictions for a few pictures: the input, then a panel for each task."""

from __future__ import annotations

import cv2
import numpy as np
import tensorflow as tf

from hiu_tf.hand.model import HandModel
from hiu_tf.models.reconstruction import reconstruct
from hiu_tf.tasks import PAPER
from hiu_tf.tasks.base import Task

_PANEL = 128  # pixels


def prediction_sheet(network, hand: HandModel, images: np.ndarray, tasks: tuple[Task, ...] = PAPER) -> np.ndarray:
    """Draws a row for each crop [B, S, S, 3] in [0, 1]: the picture, and a panel for each task; uint8 RGB."""
    outputs = reconstruct(network(images, training=False)[-1], hand, images.shape[1], tasks)
    # Predictions of a diverged run, which are not finite, are drawn too.
    found = {name: np.nan_to_num(value.numpy()) for name, value in outputs.items() if tf.is_tensor(value)}
    rows = [
        _row(image, {name: value[n] for name, value in found.items()}, hand, tasks) for n, image in enumerate(images)
    ]
    return np.concatenate(rows)


def _row(image, found, hand, tasks):
    picture = (np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    panels = [picture, *(task.draw(picture, found, hand) for task in tasks if task.draw)]
    return np.concatenate([cv2.resize(panel, (_PANEL, _PANEL), interpolation=cv2.INTER_AREA) for panel in panels], 1)
