"""HIU-Data's reader on a small set in its published layout, against the numbers that were written."""

import json

import numpy as np
import pytest

from pipelines.datasets import DataSetError
from pipelines.schema import LEFT, RIGHT, UNKNOWN, LeftOut, Sample
from tests.pipelines.datasets import formats
from tests.pipelines.datasets.reading import read


def everything(source, **options):
    return {k: s for split in ("train", "test") for k, s in _try_read(source, split, options).items()}


def _try_read(source, split, options):
    try:
        return read("hiu_data", source, split, **options)
    except DataSetError as error:
        assert "holds no sample" in str(error)
        return {}


@pytest.mark.parametrize("half", [0, 1])
def test_hiu_released_one_hand(tmp_path, rng, half):
    points = formats.hiu_released(tmp_path, rng, present=(1, 0) if half == 0 else (0, 1))
    found = everything(tmp_path)
    sample, other = found[f"abcdefghij/{half}"], found[f"abcdefghij/{1 - half}"]
    assert isinstance(other, LeftOut)
    np.testing.assert_allclose(sample.joints_2d, points[21 * half : 21 * half + 21], atol=1e-4)
    np.testing.assert_array_equal(np.flatnonzero(sample.joints_2d_weight == 0), [5])
    assert sample.mask
    assert sample.side == UNKNOWN
    assert everything(tmp_path, side="label")[f"abcdefghij/{half}"].side == (RIGHT, LEFT)[half]


def test_hiu_points_at_x_2_stand_for_none(tmp_path, rng):
    """Also where y lies in the picture; one beside them is a point like others."""
    points = formats.hiu_released(tmp_path, rng)
    points[[3, 6, 9]] = [[2, 50], [3, 50], [1, 50]]
    formats.hiu_released(tmp_path, rng, pts2d_2hand=points.tolist())
    sample = everything(tmp_path)["abcdefghij/0"]
    np.testing.assert_array_equal(np.flatnonzero(sample.joints_2d_weight == 0), [3, 5])


def test_hiu_released_two_hands_have_no_mask_of_their_own(tmp_path, rng):
    formats.hiu_released(tmp_path, rng, present=(1, 1))
    samples = [s for s in everything(tmp_path).values() if isinstance(s, Sample)]
    assert len(samples) == 2
    assert not any(sample.mask for sample in samples)


def test_hiu_side_that_is_not_valid_is_not_taken(tmp_path, rng):
    formats.hiu_released(tmp_path, rng, hand_type_valid=0)
    assert everything(tmp_path, side="label")["abcdefghij/0"].side == UNKNOWN


def test_hiu_missing_json_and_split(tmp_path, rng):
    for n in range(60):
        formats.hiu_released(tmp_path, rng, name=f"name{n:06d}")
    (tmp_path / "to_cv_community" / "name000003.json").unlink()
    train, test = (read("hiu_data", tmp_path, split) for split in ("train", "test"))
    assert not set(train) & set(test)
    assert len(train) + len(test) == 120
    assert 2 <= len(test) <= 30
    assert "cannot read" in str((train | test)["name000003/0"])


def test_hiu_older_layout(tmp_path, rng):
    points = formats.hiu_older(tmp_path, rng)
    (sample,) = read("hiu_data", tmp_path).values()
    assert sample.side == LEFT
    np.testing.assert_allclose(sample.joints_2d, points[:, :2], atol=1e-4)
    np.testing.assert_array_equal(np.flatnonzero(sample.joints_2d_weight == 0), [7])


def test_a_missing_label_is_named(tmp_path, rng):
    formats.hiu_released(tmp_path, rng)
    path = tmp_path / "to_cv_community" / "abcdefghij.json"
    path.write_text(json.dumps({"hand_type": [1, 0]}))
    assert any("pts2d_2hand" in str(outcome) for outcome in everything(tmp_path).values())
