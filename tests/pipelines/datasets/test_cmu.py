"""The reader of CMU's hand sets on a small set in its published layout, against the numbers that were written."""

import numpy as np

from pipelines.schema import LEFT, RIGHT
from tests.pipelines.datasets import formats
from tests.pipelines.datasets.reading import read


def test_cmu_unlabelled_points_and_side(tmp_path, rng):
    points = formats.cmu(tmp_path, rng)
    (sample,) = read("cmu", tmp_path).values()
    assert sample.side == LEFT
    np.testing.assert_array_equal(np.flatnonzero(sample.joints_2d_weight == 0), [3, 4])
    # The frame of 1280 px is stored as a region: a plain shift, for the hand needs no shrinking.
    shift = points[0, :2] - sample.joints_2d[0]
    np.testing.assert_allclose(sample.joints_2d[5:], points[5:, :2] - shift, atol=1e-3)
    assert max(sample.width, sample.height) <= 512


def test_cmu_test_box_comes_from_the_head(tmp_path, rng):
    points = formats.cmu(tmp_path, rng, split="manual_test")
    (sample,) = read("cmu", tmp_path, "test").values()
    shift = points[0, :2] - sample.joints_2d[0]
    np.testing.assert_allclose(sample.box[2:], 2.2 * 0.7 * 120 / 1.5, rtol=1e-5)
    np.testing.assert_allclose(sample.box[:2] + sample.box[2:] / 2 + shift, [340, 342], atol=1e-2)


def test_cmu_several_hands_of_one_frame_and_a_side_that_contradicts_the_name(tmp_path, rng):
    formats.cmu(tmp_path / "hand_labels", rng, "ex2_2.flv_000040_l")
    formats.cmu(tmp_path / "hand_labels", rng, "ex2_2.flv_000040_r", is_left=0)
    formats.cmu(tmp_path / "hand_labels", rng, "ex2_2.flv_000041_r")
    found = read("cmu", tmp_path)
    assert [getattr(s, "side", None) for s in found.values()] == [LEFT, RIGHT, None]
    assert "the file's name says r" in str(found["ex2_2.flv_000041_r"])


def test_cmu_hand143(tmp_path, rng):
    points = formats.hand143(tmp_path, rng)
    (sample,) = read("cmu", tmp_path, "hand143").values()
    assert sample.side == RIGHT
    assert sample.joints_2d_weight.sum() == 20
    assert max(sample.width, sample.height) <= 512
    np.testing.assert_allclose(np.ptp(sample.joints_2d, axis=0), np.ptp(points[:, :2], axis=0), rtol=0.02)


def test_wrong_numbers_are_named(tmp_path, rng):
    formats.cmu(tmp_path, rng, hand_pts=[[1, 2, 3]] * 20)
    formats.cmu(tmp_path, rng, "other_l", head_size=None, split="manual_test")
    assert "expected (21, 3)" in str(read("cmu", tmp_path)["000015774_01_l"])
    assert "cmu/other_l" in str(read("cmu", tmp_path, "test")["other_l"])
