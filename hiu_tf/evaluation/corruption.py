"""Corrupted crops (bad camera, light, compression), to measure how much each corruption costs."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np


def grey(crop, rng):
    """Removes colour."""
    del rng
    return np.repeat(crop.mean(axis=-1, keepdims=True), 3, axis=-1)


def blur(crop, rng):
    """Defocus: Gaussian blur, sigma 1/64 of the side."""
    del rng
    return cv2.GaussianBlur(crop, (0, 0), len(crop) / 64)


def noise(crop, rng):
    """Sensor noise: Gaussian, standard deviation 0.08."""
    return crop + rng.normal(0, 0.08, crop.shape)


def jpeg(crop, rng):
    """JPEG compression, quality 10."""
    del rng
    encoded = cv2.imencode(".jpg", (np.clip(crop, 0, 1) * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR) / 255.0


def dark(crop, rng):
    """Low light: a fifth of the brightness, with sensor noise."""
    return 0.2 * crop + rng.normal(0, 0.01, crop.shape)


def hue(crop, rng):
    """Rotates the hue by a third of a turn, as gloves or coloured light would."""
    del rng
    hsv = cv2.cvtColor(np.clip(crop, 0, 1).astype(np.float32), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + 120) % 360
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def occluder(crop, rng):
    """Occlusion: a grey disk in front of the hand, a quarter of the side wide."""
    size = len(crop)
    centre = rng.uniform(0.3, 0.7, 2) * size
    drawn = np.ascontiguousarray(crop, np.float32)
    return cv2.circle(drawn, tuple(map(int, centre)), size // 8, (0.5, 0.5, 0.5), -1, cv2.LINE_AA)


CORRUPTIONS: dict[str, Callable] = {f.__name__: f for f in (grey, blur, noise, jpeg, dark, hue, occluder)}


def corrupted(batches, name: str, key: str):
    """Yields the batches with corrupted pictures (under `key`). The corruption depends only on a picture's position."""
    for number, batch in enumerate(batches):
        rng = np.random.default_rng(number)
        pictures = [np.clip(CORRUPTIONS[name](crop.copy(), rng), 0, 1) for crop in batch[key]]
        yield batch | {key: np.stack(pictures).astype(np.float32)}
