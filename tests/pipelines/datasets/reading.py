"""Opens a written data set, and decodes what a reader made of it."""

import cv2
import numpy as np

from pipelines.datasets import open_split


def read(name, source, split="train", **options):
    """{key: sample or error}."""
    return dict(open_split(name, str(source), split, tuple(options.items())).outcomes())


def mask_of(sample):
    return cv2.imdecode(np.frombuffer(sample.mask, np.uint8), cv2.IMREAD_GRAYSCALE)


def picture_of(sample):
    return cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
