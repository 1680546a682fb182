import dataclasses
import json
import types

import cv2
import numpy as np
import pytest

from hiu_tf.config.detection import SceneConfig
from hiu_tf.config.load import load_detector_recipe
from hiu_tf.conventions.skeleton import Joint
from hiu_tf.errors import ConfigError
from pipelines.detection import scene_data
from pipelines.material import labelled_pictures, load_material
from pipelines.scene_hands import clipped, mirrored, row_of_sample, without_hidden
from pipelines.scenes import _placement, _whole, scene, validation_sets
from pipelines.schema import LEFT, UNKNOWN, DataSetError
from tests.places import RECIPES

SIZE = 128


@pytest.fixture(scope="module")
def root(rendered_records, tmp_path_factory):
    """Rendered hands as cut-outs, windows without hands, and whole pictures with boxes."""
    from pipelines.datasets import open_split
    from pipelines.records import write_index, write_shard

    for split in ("train", "val"):
        name = f"{split}-00000-of-00001.tfrecord"
        (rendered_records / "none").mkdir(exist_ok=True)
        drawn = open_split("no_hand", "none", split, (("drawn", "6"),)).outcomes()
        note = write_shard(rendered_records / "none" / name, drawn)
        write_index(rendered_records / "none", "no_hand", split, {name: note})
        folder = rendered_records / "whole"
        folder.mkdir(exist_ok=True)
        picture = np.full((60, 90, 3), 40, np.uint8)
        picture[20:40, 30:50] = (30, 90, 200)
        cv2.imwrite(str(folder / "a.png"), picture)
        hand = {"image_id": 1, "bbox": [30, 20, 20, 20], "hand_side": "left"}
        image = {"id": 1, "file_name": "a.png", "width": 90, "height": 60}
        (folder / f"{split}.json").write_text(json.dumps({"images": [image], "annotations": [hand]}))
    return rendered_records


@pytest.fixture(scope="module")
def config():
    return SceneConfig(
        cutouts={"synthetic": 1.0},
        backgrounds=("none",),
        alone=("synthetic",),
        pictures={"whole": 1.0},
        sizes=(0.2, 0.5),
    )


def test_sets_without_a_complete_hand_are_not_drawn(root, config):
    """Partly labelled hands, or here windows without hands; beside others they are left out, alone they are refused."""
    both = dataclasses.replace(config, cutouts={"synthetic": 1.0, "none": 3.0})
    assert [share for _, share in load_material(both, root, "train").cutouts] == [1.0]
    with pytest.raises(DataSetError, match="none: no hand of train has all 21 joints labelled"):
        load_material(dataclasses.replace(config, cutouts={"none": 1.0}), root, "train")


@pytest.mark.parametrize("setting", ["accumulate=2", "precision=mixed_float16", "validate=[synthetic]", "mix=epoch"])
def test_settings_that_a_detector_does_not_use_are_refused(setting):
    with pytest.raises(ConfigError, match=f"train.{setting.partition('=')[0]} has no effect"):
        load_detector_recipe(RECIPES / "hand_detector.yaml", [f"train.{setting}"])


def test_a_scene_follows_from_its_number(root, config):
    material = load_material(config, root, "train")
    for number in range(12):
        first, again = (scene(number, 5, material, config, SIZE) for _ in range(2))
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])
        assert first[0].shape == (SIZE, SIZE, 3) and first[0].dtype == np.uint8
    others = scene(0, 6, material, config, SIZE)[0]
    assert not np.array_equal(scene(0, 5, material, config, SIZE)[0], others)


def test_hands_of_scenes_are_what_the_codec_takes(root, config):
    material = load_material(config, root, "train")
    hands = np.concatenate([scene(number, 1, material, config, SIZE)[1] for number in range(60)])
    assert len(hands) > 50 and np.all(np.isfinite(hands))
    assert np.all(hands[:, :2] >= -1) and np.all(hands[:, :2] + hands[:, 2:4] <= SIZE + 1)
    length = np.linalg.norm(hands[:, 4:6], axis=1)
    assert np.all((length < 1e-6) | (np.abs(length - 1) < 1e-4))
    assert set(np.unique(hands[:, 6])) <= {-1, 0, 1} and {0, 1} <= set(np.unique(hands[:, 6]))


def test_mirrored_twice_is_the_same(rng):
    hands = np.concatenate(
        [rng.uniform(5, 60, (6, 4)), rng.normal(size=(6, 2)), [[0]] * 2 + [[1]] * 2 + [[-1]] * 2, np.ones((6, 1))],
        axis=1,
    )
    np.testing.assert_allclose(mirrored(mirrored(hands, SIZE), SIZE), hands)
    assert mirrored(hands, SIZE)[:, 6].tolist() == [1, 1, 0, 0, -1, -1]


def test_a_placed_hand_has_size_and_place_that_were_asked_for(root, config):
    sample = load_material(config, root, "train").cutouts[0][0][0]
    row = row_of_sample(sample, _placement(sample, 50.0, np.array([60.0, 40.0]), 0.0))
    assert max(row[2:4]) == pytest.approx(50, abs=1e-3)
    np.testing.assert_allclose(row[:2] + row[2:4] / 2, [60, 40], atol=1e-3)
    turned = row_of_sample(sample, _placement(sample, 50.0, np.array([60.0, 40.0]), np.pi / 2))
    np.testing.assert_allclose(turned[4:6], [-row[5], row[4]], atol=1e-4)


def test_hands_at_the_edge():
    frame = np.array([0, 0, 99, 99.0])
    hands = np.array(
        [
            [10, 10, 20, 20, 1, 0, 0, 1],
            [-10, 10, 20, 20, 1, 0, 0, 1],
            [-15, 10, 20, 20, 1, 0, 0, 1],
            [-30, 10, 20, 20, 1, 0, 0, 1],
        ]
    )
    rows = clipped(hands, frame)
    assert rows[:, 7].tolist() == [1, 1, 0] and rows[1].tolist()[:4] == [0, 10, 10, 20]


def test_boxes_of_whole_pictures_follow_them(root, config):
    """However a photograph is zoomed and placed: the coloured patch of the fixture lies in its box, and only there."""
    material, zooms = load_material(config, root, "train"), []
    for number in range(60):
        picture, ((x, y, width, height, *_),) = _whole(np.random.default_rng(number), material, config, SIZE)
        patch = np.all(np.abs(picture.astype(int) - (200, 90, 30)) < 60, axis=-1)
        ys, xs = np.mgrid[:SIZE, :SIZE]
        inner, outer = ((xs > x + m) & (xs < x + width - m) & (ys > y + m) & (ys < y + height - m) for m in (1.5, -2.5))
        around = cv2.dilate(outer.astype(np.uint8), np.ones((5, 5))) > 0
        assert patch[inner].mean() > 0.95 and not patch[around & ~outer].any(), number
        zooms.append(width / 20 / (SIZE / 90))
    assert min(zooms) < 0.6 and max(zooms) > 1.8


@pytest.mark.parametrize("shape", [(60, 180), (180, 60), (90, 90), (6, 90)])
def test_pictures_of_any_shape_are_seen_whole(shape):
    """A hand at each end: about half of the scenes show both, whichever side is longer."""
    height, width = shape
    encoded = cv2.imencode(".png", np.full((height, width, 3), 128, np.uint8))[1].tobytes()
    ends = np.array([[0, 0, 5, 5, 0, 0, 0, 1], [width - 5, height - 5, 5, 5, 0, 0, 0, 1]], np.float32)
    material = types.SimpleNamespace(pictures={"whole": ([(encoded, ends)], 1.0)}, backgrounds=[encoded])
    shown = [_whole(np.random.default_rng(seed), material, None, SIZE)[1][:, 7].sum() for seed in range(80)]
    assert 0.35 < np.mean(np.array(shown) == 2) < 0.85


def test_hands_behind_others_are_ignored():
    """Only what is pasted later hides; a hand of which half the joints are hidden has .5 left, one of nine tenths .1."""
    hands = np.array([[10, 10, 40, 40, 0, 0, 0, 1], [10, 10, 20, 40, 0, 0, 0, 1], [60, 60, 20, 20, 0, 0, 0, 1]], float)
    joints = [np.stack([np.linspace(10, 49, 10), np.full(10, 20.0)], axis=1)] * 2 + [np.full((10, 2), 70.0)]
    covers = [np.zeros((SIZE, SIZE), np.uint8) for _ in hands]
    covers[0][:], covers[1][:, :30] = 255, 255
    assert without_hidden(hands, joints, covers)[:, 7].tolist() == [1, 1, 1]
    covers[2][:, 30:46] = 255
    assert without_hidden(hands, joints, covers)[:, 7].tolist() == [0, 1, 1]
    covers[2][:] = 0
    covers[2][:, :46] = 255
    assert without_hidden(hands, joints, covers)[:, 7].tolist() == [0, 0, 1]
    assert hands[:, 7].tolist() == [1, 1, 1]


def test_batches_start_where_a_run_goes_on(root, config):
    recipe = load_detector_recipe(RECIPES / "hand_detector.yaml", ["network.image_size=64", "train.batch_size=2"])
    material = load_material(config, root, "train")
    first = list(scene_data(recipe, material).take(3).as_numpy_iterator())
    later = next(scene_data(recipe, material, start=2).as_numpy_iterator())
    np.testing.assert_array_equal(first[2][0], later[0])
    assert first[0][0].shape == (2, 64, 64, 3) and first[0][1]["box"].shape == (2, 16, 16, 4)


def test_validation_pictures_stay_as_they_are(root, config):
    sets = validation_sets(load_material(config, root, "val"), config, SIZE, 4)
    found = {name: list(pictures) for name, pictures in sets.items()}
    assert {name: len(pictures) for name, pictures in found.items()} == {
        "composed": 4,
        "alone": 6,
        "whole": 1,
        "none": 6,
    }
    picture, hands = found["whole"][0]
    assert picture.shape == (60, 90, 3) and hands.tolist() == [[29.5, 19.5, 20, 20, 0, 0, 1, 1]]


def test_whole_pictures_with_key_points_tell_the_direction(tmp_path):
    """From the wrist to the middle finger's first joint, unknown if one is unlabelled; other hands have boxes alone."""
    points = np.zeros((21, 3))
    points[Joint.WRIST], points[Joint.MIDDLE1] = (20, 50, 2), (50, 10, 2)
    hidden = points * [1, 1, 0]
    content = {
        "images": [{"id": 7, "file_name": "one.png"}],
        "annotations": [
            {"image_id": 7, "bbox": [5, 5, 60, 50], "keypoints": points.ravel().tolist(), "hand_side": "left"},
            {
                "image_id": 7,
                "bbox": [5, 5, 60, 50],
                "keypoints": hidden.ravel().tolist(),
                "other_hands": [[70, 8, 20, 10]],
            },
            {"image_id": 7, "bbox": [0, 0, 9, 3], "iscrowd": 1},
        ],
    }
    (tmp_path / "val.json").write_text(json.dumps(content))
    (tmp_path / "one.png").write_bytes(b"any")
    ((encoded, hands),) = labelled_pictures(tmp_path, "val")
    expected = [[4.5, 4.5, 60, 50, 0.6, -0.8, LEFT, 1], [4.5, 4.5, 60, 50, 0, 0, UNKNOWN, 1], [69.5, 7.5, 20, 10, 0, 0, UNKNOWN, 1],
                [-0.5, -0.5, 9, 3, 0, 0, UNKNOWN, 0]]  # fmt: skip
    assert encoded == b"any"
    np.testing.assert_allclose(hands, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pictures": {"whole": 0.0}}, "scenes.pictures must be shares >= 0, one of them above 0"),
        ({"cutouts": {"synthetic": -1.0}}, "scenes.cutouts must be shares >= 0"),
        ({"pictures": {"alone": 1.0}}, "scenes.pictures must be folders named otherwise"),
    ],
)
def test_shares_and_names_that_cannot_be_drawn_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        SceneConfig(**{"cutouts": {"synthetic": 1.0}, "backgrounds": ("none",)} | settings)


@pytest.mark.parametrize(
    "content",
    (
        "",
        "{}",
        "[]",
        '{"images": [{"id": 1}], "annotations": []}',
        '{"images": [], "annotations": [{"image_id": 3, "bbox": []}]}',
    ),
)
def test_a_broken_list_of_pictures_is_named(content, tmp_path):
    (tmp_path / "val.json").write_text(content)
    with pytest.raises(DataSetError, match="val.json is no list of pictures"):
        labelled_pictures(tmp_path, "val")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("scenes.sizes=[0.5, 0.2]", "two rising numbers"),
        ("scenes.cutouts={}", "above 0, with cutouts"),
        ("scenes.backgrounds=[]", "at least one set"),
        ("network.image_size=100", "a multiple of 16"),
        ("scenes.compositt=1", "did you mean composite"),
    ],
)
def test_settings_that_do_not_fit(setting, words):
    with pytest.raises(ConfigError, match=words):
        load_detector_recipe(RECIPES / "hand_detector.yaml", [setting])
