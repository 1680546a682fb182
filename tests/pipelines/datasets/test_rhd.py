"""RHD's reader on a small set in its published layout, against the numbers that were written."""

import pickle

import numpy as np
import pytest

from pipelines.datasets import DataSetError
from pipelines.fit import camera_errors
from pipelines.schema import LEFT, RIGHT, LeftOut
from tests.pipelines.datasets import formats
from tests.pipelines.datasets.reading import mask_of, read


def test_rhd_takes_the_larger_hand_and_a_tie_is_right(tmp_path, rng):
    truth = formats.rhd(tmp_path, rng)
    found = read("rhd", tmp_path)
    assert [sample.side for sample in found.values()] == [LEFT, RIGHT, RIGHT]
    for sample, wanted in zip(found.values(), truth):
        joints = wanted["left" if sample.side == LEFT else "right"]
        np.testing.assert_allclose(sample.joints_3d, joints, atol=1e-6)
        np.testing.assert_allclose(sample.joints_2d, formats.project(joints, wanted["camera"]), atol=1e-3)
        classes = (2, 17) if sample.side == LEFT else (18, 33)
        expected = (wanted["mask"] >= classes[0]) & (wanted["mask"] <= classes[1])
        np.testing.assert_array_equal(mask_of(sample) > 0, expected)
        assert not camera_errors(sample)


def test_rhd_both_hands(tmp_path, rng):
    formats.rhd(tmp_path, rng)
    found = read("rhd", tmp_path, hand="both")
    assert list(found)[:2] == ["00000_left", "00000_right"]
    assert len(found) == 6


def test_rhd_points_outside_and_hidden(tmp_path, rng):
    visible = np.zeros((42, 1))
    visible[[0, 4, 8]] = 1  # raw rows: the wrist, the roots of thumb and index
    formats.rhd(tmp_path, rng, pixels=((30, 20),), visible=visible)
    path = tmp_path / "training" / "anno_training.pickle"
    annotations = pickle.loads(path.read_bytes())
    annotations[0]["uv_vis"][1, :2] = [-40, 500]  # the tip of the thumb
    path.write_bytes(pickle.dumps(annotations, protocol=2))
    (sample,) = read("rhd", tmp_path).values()
    np.testing.assert_array_equal(np.flatnonzero(sample.visible), [0, 1, 5])
    np.testing.assert_array_equal(np.flatnonzero(sample.joints_2d_weight == 0), [4])
    (outcome,) = read("rhd", tmp_path, min_visible="4").values()
    assert isinstance(outcome, LeftOut)


@pytest.mark.parametrize("axis", (0, 1))
def test_rhd_in_the_picture_is_between_its_outermost_pixel_centres(tmp_path, rng, axis):
    """320 x 320 pixels, the first centre at 0, the last at 319; half a pixel beyond them is outside."""
    formats.rhd(tmp_path, rng, pixels=((30, 20),))
    path = tmp_path / "training" / "anno_training.pickle"
    annotations = pickle.loads(path.read_bytes())
    places = {0: 0.0, 1: 319.0, 5: -0.5, 9: 319.5, 13: -0.01, 17: 319.01}  # standard joint: x or y
    for joint, place in places.items():
        row = np.full(2, 100.0)
        row[axis] = place
        annotations[0]["uv_vis"][formats.RHD_MAP[joint], :2] = row
    path.write_bytes(pickle.dumps(annotations, protocol=2))
    (sample,) = read("rhd", tmp_path).values()
    np.testing.assert_array_equal(np.flatnonzero(sample.joints_2d_weight == 0), [5, 9, 13, 17])


def test_rhd_refuses_a_pickle_that_runs_code(tmp_path):
    import os

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "anno_training.pickle").write_bytes(pickle.dumps({0: Evil()}))
    with pytest.raises(DataSetError, match="which no array needs"):
        read("rhd", tmp_path)
    assert not (tmp_path / "owned").exists()
