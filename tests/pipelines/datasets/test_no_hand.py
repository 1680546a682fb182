"""Windows without hands: only their empty maps and masks are labels."""

import json

import cv2
import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.config.load import load_recipe
from hiu_tf.conventions import keys
from pipelines.build import finished_data
from pipelines.datasets import DataSetError, open_split
from pipelines.records import write_index, write_shard
from tests.places import RECIPES

HAND = (40, 50, 60, 70)


@pytest.fixture
def folder(tmp_path, rng):
    """One picture with a red hand."""
    picture = np.full((240, 320, 3), (90, 120, 60), np.uint8)
    x, y, w, h = HAND
    picture[y : y + h, x : x + w] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    image = {"id": 1, "file_name": "a.png", "width": 320, "height": 240}
    content = {"images": [image], "annotations": [{"id": 1, "image_id": 1, "bbox": HAND}]}
    (tmp_path / "train.json").write_text(json.dumps(content))
    return tmp_path


def test_windows_keep_off_the_hand(folder):
    split = open_split("no_hand", str(folder), "train", (("windows", "40"), ("drawn", "5")))
    assert len(split.keys) > 30
    for key, sample in split.outcomes():
        assert sample.no_hand
        picture = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
        if not key.startswith("drawn"):
            red = (picture[..., 2] > 200) & (picture[..., 1] < 60)
            assert red.mean() < 0.12


def test_sizes_that_the_list_does_not_say_are_those_of_the_files(folder):
    """As in the lists of `hiu label` before it wrote them."""
    windows = [s.image for _, s in open_split("no_hand", str(folder), "train").outcomes()]
    content = json.loads((folder / "train.json").read_text())
    for image in content["images"]:
        del image["width"], image["height"]
    (folder / "train.json").write_text(json.dumps(content))
    assert [s.image for _, s in open_split("no_hand", str(folder), "train").outcomes()] == windows


def test_equal_keys_give_equal_windows(folder):
    first, second = (open_split("no_hand", str(folder), "train", (("drawn", "2"),)) for _ in range(2))
    assert [s.image for _, s in first.outcomes()] == [s.image for _, s in second.outcomes()]


def test_empty_maps_and_an_empty_mask_are_the_labels(folder, tmp_path):
    records = tmp_path / "records" / "no_hand"
    records.mkdir(parents=True)
    note = write_shard(records / "train-0.tfrecord", open_split("no_hand", str(folder), "train").outcomes())
    write_index(records, "no_hand", "train", {"train-0.tfrecord": note})
    settings = ("data={no_hand: {path: no_hand}}", "train.batch_size=4", "train.validate=[]", "network.image_size=64")
    settings = (*settings, "augment.backgrounds=[]")
    recipe = load_recipe(RECIPES / "hiu_mobile.yaml", settings)
    _, targets = next(iter(finished_data(recipe, tmp_path / "records", 64)))
    ones = (keys.HEATMAPS_WEIGHT, keys.MASK_WEIGHT)
    for name in ones:
        np.testing.assert_array_equal(targets[name], 1)
    for name in (keys.HEATMAPS, keys.MASK):
        np.testing.assert_array_equal(targets[name], 0)
    weights = [name for name in targets if name.endswith("_weight") and name not in ones]
    for name in (*weights, keys.WHOLE, keys.HAS_MESH, keys.HAS_PARAMETERS):
        assert not tf.reduce_any(targets[name] != 0), name


@pytest.mark.parametrize(
    ("options", "words"), [((("windows", "-1"),), "windows takes"), ((("drawn", "x"),), "drawn takes")]
)
def test_bad_options(folder, options, words):
    with pytest.raises(DataSetError, match=words):
        open_split("no_hand", str(folder), "train", options)


def test_a_list_without_boxes_is_refused(folder):
    (folder / "train.json").write_text(json.dumps({"images": [{"id": 1}], "annotations": []}))
    with pytest.raises(DataSetError, match="no list of hands"):
        open_split("no_hand", str(folder), "train")


@pytest.mark.parametrize("width", ("Infinity", "1e30", "NaN", "-4", '"wide"'))
def test_sizes_that_no_picture_has_are_refused_in_words(folder, width):
    path = folder / "train.json"
    path.write_text(path.read_text().replace('"width": 320', f'"width": {width}'))
    with pytest.raises(DataSetError, match="train.json is no list of hands"):
        open_split("no_hand", str(folder), "train")
