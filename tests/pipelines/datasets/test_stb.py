"""STB's reader on a small set in its published layout, against the numbers that were written."""

import numpy as np
import pytest

from pipelines.datasets import open_split
from pipelines.datasets.stb.reader import WRISTS
from pipelines.fit import camera_errors
from pipelines.schema import LEFT
from tests.pipelines.datasets import formats
from tests.pipelines.datasets.reading import read


@pytest.mark.parametrize(
    ("view", "camera", "shift"),
    [
        ("SK", formats.SK_COLOUR, 0.0),
        ("BB_left", formats.BUMBLEBEE, 0.0),
        ("BB_right", formats.BUMBLEBEE, 0.120054),
    ],
)
def test_stb_views(tmp_path, rng, view, camera, shift):
    truth = formats.stb(tmp_path, rng)
    found = read("stb", tmp_path, "test", view=view, wrist="palm")
    assert list(found) == [f"B1{kind}/{view}/{n}" for kind in ("Counting", "Random") for n in (0, 1)]
    for key, sample in found.items():
        sequence, _, number = key.split("/")
        joints = truth[sequence][int(number)] - [shift, 0, 0]
        np.testing.assert_allclose(sample.joints_3d, joints, atol=1e-6)
        assert sample.side == LEFT
        moved = formats.project(sample.joints_3d, sample.intrinsics)
        np.testing.assert_allclose(sample.joints_2d, moved, atol=0.01)
        assert not camera_errors(sample)
        # 640 px wide: stored as a region, so K has moved; back in the whole picture it is the camera's own.
        whole = formats.project(joints, camera)
        scale = sample.intrinsics[0, 0] / camera[0, 0]
        offset = sample.joints_2d - whole * scale
        np.testing.assert_allclose(offset, np.broadcast_to(offset[0], offset.shape), atol=0.35)


@pytest.mark.parametrize(
    ("view", "camera"),
    [
        ("SK", [[607.92271, 0, 314.78337], [0, 607.88192, 236.42484], [0, 0, 1]]),
        ("BB_left", [[822.79041, 0, 318.47345], [0, 822.79041, 250.31296], [0, 0, 1]]),
        ("BB_right", [[822.79041, 0, 318.47345], [0, 822.79041, 250.31296], [0, 0, 1]]),
    ],
)
def test_stb_cameras_are_the_published_ones(tmp_path, rng, view, camera, whole_pictures):
    formats.stb(tmp_path, rng, frames=1)
    for sample in read("stb", tmp_path, "test", view=view).values():
        assert (sample.width, sample.height) == (640, 480)
        np.testing.assert_allclose(sample.intrinsics, camera, rtol=1e-6)
        np.testing.assert_allclose(sample.joints_2d, formats.project(sample.joints_3d, camera), atol=1e-3)


def test_stb_views_of_a_frame_are_one_group(tmp_path, rng):
    """A fold takes whole groups: no frame is trained on in one view and tested in another."""
    formats.stb(tmp_path, rng)
    groups = {key: sample.group for key, sample in read("stb", tmp_path, "test", view="SK+BB_left+BB_right").items()}
    assert len(groups) == 12
    for key, group in groups.items():
        sequence, _, number = key.split("/")
        assert group == f"{sequence}/{number}"


def test_stb_splits_are_the_sequences(tmp_path, rng):
    formats.stb(tmp_path, rng, frames=1)
    train, test = (open_split("stb", str(tmp_path), split).keys for split in ("train", "test"))
    assert len(train) == 10
    assert {key[:2] for key in test} == {"B1"}
    assert {key[:2] for key in train} == {"B2", "B3", "B4", "B5", "B6"}
    assert len(open_split("stb", str(tmp_path), "train", (("view", "BB_left+BB_right"),)).keys) == 20


def test_stb_wrists(tmp_path, rng):
    """Each formula, written out from raw points (0 palm, 5 ring, 9 middle, 13 index, 1 little MCP)."""
    truth = formats.stb(tmp_path, rng, frames=1)
    raw = truth["B1Counting"][0][np.argsort(formats.STB_MAP)]
    palm, little, ring, middle, index = raw[[0, 1, 5, 9, 13]]
    expected = {
        "zimmermann": ring + 2.0 * (palm - ring),
        "xiang": 2 * palm - middle,
        "bihand": middle + 2.2 * (palm - middle),
        "mean": np.mean([m + 2.25 * (palm - m) for m in (little, ring, middle, index)], axis=0),
        "palm": palm,
    }
    assert set(expected) == set(WRISTS)
    for name, wrist in expected.items():
        sample = read("stb", tmp_path, "test", wrist=name)["B1Counting/SK/0"]
        np.testing.assert_allclose(sample.joints_3d[0], wrist, atol=1e-6)
