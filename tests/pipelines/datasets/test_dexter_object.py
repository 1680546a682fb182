"""Dexter+Object's reader on a small set in its published layout, against the numbers that were written."""

import numpy as np
import pytest

from pipelines.datasets import DataSetError
from pipelines.fit import camera_errors
from pipelines.schema import LEFT, LeftOut
from tests.pipelines.datasets import formats
from tests.pipelines.datasets.reading import read


def test_dexter_object_tips_in_the_colour_camera(tmp_path, rng):
    truth = formats.dexter_object(tmp_path, rng)
    found = read("dexter_object", tmp_path, "test")
    assert len(found) == 18
    tips = [4, 8, 12, 16, 20]
    first = found["Pinch/Color_0001"]
    np.testing.assert_allclose(first.joints_3d[tips], truth["Pinch"][0], atol=1e-5)
    np.testing.assert_array_equal(np.flatnonzero(first.joints_3d_weight), tips)
    assert not camera_errors(first)
    assert first.intrinsics[0, 0] == pytest.approx(first.intrinsics[1, 1], rel=5e-3)  # square pixels
    assert first.side == LEFT
    second, third = found["Pinch/Color_0002"], found["Pinch/Color_0003"]
    np.testing.assert_array_equal(np.flatnonzero(second.joints_2d_weight), [4, 8, 12, 20])
    assert isinstance(third, LeftOut)


def test_dexter_object_camera_is_the_published_one(tmp_path, rng, whole_pictures):
    """Focal lengths 587.45209 and 600.67456, principal point (325, 249); stored with square pixels, 469 of 480 rows."""
    truth = formats.dexter_object(tmp_path, rng, frames=1)
    sample = read("dexter_object", tmp_path, "test")["Grasp1/Color_0001"]
    assert (sample.width, sample.height) == (640, 469)
    down = 469 / 480
    expected = [[587.45209, 0, 325], [0, 600.67456 * down, 249 * down + 0.5 * down - 0.5], [0, 0, 1]]
    np.testing.assert_allclose(sample.intrinsics, expected, rtol=1e-6)
    tips = [4, 8, 12, 16, 20]
    np.testing.assert_allclose(sample.joints_2d[tips], formats.project(truth["Grasp1"][0], expected), atol=0.01)


def test_dexter_object_corrected_labels_and_missing_lines(tmp_path, rng):
    formats.dexter_object(tmp_path, rng)
    with pytest.raises(DataSetError, match="my_Grasp13D.txt"):
        read("dexter_object", tmp_path, labels="my_")
    path = tmp_path / "data" / "Rigid" / "annotations" / "Rigid3D.txt"
    path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(DataSetError, match="has 1 lines for 3 pictures"):
        read("dexter_object", tmp_path)
