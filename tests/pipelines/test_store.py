"""From a picture file to the stored sample."""

import cv2
import numpy as np
import pytest

from pipelines.schema import DataSetError
from pipelines.store import store
from tests.pipelines.datasets import formats


def labels(**changes):
    return {
        "dataset": "set", "sample_id": "1", "side": 1,
        "joints_2d": np.full((21, 2), 20.0), "joints_2d_weight": np.ones(21, np.float32),
    } | changes  # fmt: skip


def mask_of(sample):
    return cv2.imdecode(np.frombuffer(sample.mask, np.uint8), cv2.IMREAD_UNCHANGED)


def test_above_127_is_hand(tmp_path, rng):
    """JPEG masks have intermediate values at their edges."""
    formats.save(tmp_path / "a.png", formats.noise(rng, 256, 40))
    sample = store(tmp_path / "a.png", np.tile(np.arange(256, dtype=np.uint8), (40, 1)), **labels())
    np.testing.assert_array_equal(mask_of(sample), np.tile(np.repeat([0, 255], 128), (40, 1)))


def test_a_mask_of_another_size_is_scaled_and_of_another_shape_refused(tmp_path, rng):
    formats.save(tmp_path / "a.png", formats.noise(rng, 200, 100))
    half = np.zeros((50, 100), np.uint8)
    half[10:30, 40:60] = 255
    expected = np.zeros((100, 200), np.uint8)
    expected[20:60, 80:120] = 255
    np.testing.assert_array_equal(mask_of(store(tmp_path / "a.png", half, **labels())), expected)
    with pytest.raises(DataSetError, match="the mask is 100x100, the picture 200x100"):
        store(tmp_path / "a.png", np.zeros((100, 100), np.uint8), **labels())
