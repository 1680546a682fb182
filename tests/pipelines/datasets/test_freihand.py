"""FreiHAND's reader on a small set in its published layout, against the numbers that were written."""

import numpy as np
import pytest

from pipelines.datasets import DataSetError, open_split
from pipelines.schema import RIGHT
from tests.pipelines.datasets import formats
from tests.pipelines.datasets.reading import mask_of, picture_of, read


def test_freihand_labels_wrap_around(tmp_path, rng):
    hands, camera = formats.freihand(tmp_path, rng)
    found = read("freihand", tmp_path)
    assert list(found) == [f"{n:08d}" for n in range(12)]
    for number, sample in enumerate(found.values()):
        assert abs(int(picture_of(sample).mean()) - 10 * number) <= 1
        np.testing.assert_allclose(sample.joints_3d, hands[number % 3], atol=1e-6)
        np.testing.assert_allclose(sample.joints_2d, formats.project(hands[number % 3], camera), atol=1e-3)
        assert sample.side == RIGHT
        assert not len(sample.vertices)
        mask = mask_of(sample)
        assert set(np.unique(mask)) == {0, 255}
        columns = np.flatnonzero(mask[110] > 0)
        np.testing.assert_allclose([columns.min(), columns.max()], [50 + 10 * (number % 3), 149], atol=1)


def test_freihand_versions(tmp_path, rng):
    formats.freihand(tmp_path, rng)
    for block, version in enumerate(("gs", "hom", "sample", "auto")):
        keys = open_split("freihand", str(tmp_path), "train", (("version", version),)).keys
        assert list(keys) == [f"{3 * block + n:08d}" for n in range(3)]


def test_freihand_test_split_with_and_without_labels(tmp_path, rng):
    hands, _ = formats.freihand(tmp_path / "with", rng, test_labels=True)
    formats.freihand(tmp_path / "without", rng)
    labelled = list(read("freihand", tmp_path / "with", "test").values())
    assert len(labelled) == 3
    np.testing.assert_allclose(labelled[1].joints_3d, hands[1], atol=1e-6)
    assert labelled[1].vertices.shape == (778, 3)
    assert mask_of(labelled[1]).any()
    bare = list(read("freihand", tmp_path / "without", "test").values())[0]
    assert not bare.joints_2d_weight.any()
    assert bare.box[2] > 0
    assert bare.intrinsics[0, 0] == 480


def test_freihand_files_that_do_not_fit(tmp_path, rng):
    formats.freihand(tmp_path, rng)
    (tmp_path / "training_xyz.json").write_text("[[1]]")
    with pytest.raises(DataSetError, match=r"training_xyz.json has 1 entries, training_K.json has 3"):
        read("freihand", tmp_path)
