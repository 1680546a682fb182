"""A small data set written in exactly the format, with its traps."""

import json

import cv2
import numpy as np
import pytest

from pipelines.datasets import DataSetError
from pipelines.datasets.own_data.reader import MAX_SIDE, read
from pipelines.schema import LEFT, UNKNOWN


def write_set(folder, pictures, **annotation):
    """One annotation per picture; key points on a diagonal."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), picture)
        images.append({"id": number, "file_name": f"images/{number}.png"})
        points = [v for k in range(21) for v in (5.0 + k, 6.0 + k, 0 if k == 3 else 2)]
        annotations.append(
            {"id": 10 + number, "image_id": number, "keypoints": points, "hand_side": "left"} | annotation
        )
    (folder / "train.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


@pytest.fixture
def picture(rng):
    return rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)


def test_reads_points_weights_and_side(tmp_path, picture):
    (sample,) = read(str(write_set(tmp_path / "mine", [picture])), "train", 0, 1)
    assert (sample.dataset, sample.sample_id, sample.side) == ("mine", "10", LEFT)
    np.testing.assert_allclose(sample.joints_2d[0], [4.5, 5.5])  # COCO's pixel corner -> our pixel centre
    np.testing.assert_array_equal(sample.joints_2d_weight == 0, np.arange(21) == 3)
    assert not sample.joints_3d_weight.any()
    sample.validate()


def test_large_pictures_shrink_with_their_points(tmp_path, rng):
    large = rng.integers(0, 255, (100, 2 * MAX_SIDE, 3), dtype=np.uint8)
    (sample,) = read(str(write_set(tmp_path / "mine", [large])), "train", 0, 1)
    assert sample.width == MAX_SIDE
    np.testing.assert_allclose(sample.joints_2d[0], [2.0, 2.5])


def test_mask_and_unknown_side(tmp_path, picture):
    folder = write_set(tmp_path / "mine", [picture], hand_side=None)
    cv2.imwrite(str(folder / "mask.png"), np.full((40, 60), 255, np.uint8))
    content = json.loads((folder / "train.json").read_text())
    content["images"][0]["mask_file"] = "mask.png"
    (folder / "train.json").write_text(json.dumps(content))
    (sample,) = read(str(folder), "train", 0, 1)
    assert sample.side == UNKNOWN
    assert cv2.imdecode(np.frombuffer(sample.mask, np.uint8), 0).min() == 255


def test_parts_are_disjoint_and_complete(tmp_path, picture):
    folder = str(write_set(tmp_path / "mine", [picture] * 5))
    ids = [[s.sample_id for s in read(folder, "train", part, 2)] for part in (0, 1)]
    assert sorted(ids[0] + ids[1]) == ["10", "11", "12", "13", "14"]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"keypoints": [1, 2, 3]}, "annotation 10: keypoints has 3 numbers"),
        ({"image_id": 99}, "image_id 99 is not among"),
    ],
)
def test_bad_annotations_are_named(tmp_path, picture, annotation, message):
    with pytest.raises(DataSetError, match=message):
        list(read(str(write_set(tmp_path / "mine", [picture], **annotation)), "train", 0, 1))


def test_missing_things_are_named(tmp_path, picture):
    with pytest.raises(DataSetError, match="cannot read .*train.json"):
        list(read(str(tmp_path), "train", 0, 1))
    folder = write_set(tmp_path / "mine", [picture])
    (folder / "images" / "0.png").write_bytes(b"not a picture")
    with pytest.raises(DataSetError, match="cannot read the picture"):
        list(read(str(folder), "train", 0, 1))
    (folder / "train.json").write_text("{}")
    with pytest.raises(DataSetError, match="no COCO key point file"):
        list(read(str(folder), "train", 0, 1))
