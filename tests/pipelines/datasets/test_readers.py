"""Each reader on a small set in its published layout, against the numbers that were written."""

import json
import pickle

import cv2
import numpy as np
import pytest

from pipelines import store as store_module
from pipelines.datasets import READERS, DataSetError, open_split, reader
from pipelines.datasets.stb.reader import WRISTS
from pipelines.fit import camera_errors
from pipelines.schema import LEFT, RIGHT, UNKNOWN, LeftOut, Sample
from tests.pipelines.datasets import formats


def read(name, source, split="train", **options):
    """{key: sample or error}."""
    return dict(open_split(name, str(source), split, tuple(options.items())).outcomes())


def mask_of(sample):
    return cv2.imdecode(np.frombuffer(sample.mask, np.uint8), cv2.IMREAD_GRAYSCALE)


def picture_of(sample):
    return cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)


# --- RHD ----------------------------------------------------------------------------------------


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


# --- STB ----------------------------------------------------------------------------------------


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


@pytest.fixture
def whole_pictures(monkeypatch):
    """Pictures of 640 px are stored whole, so that a sample's K is its camera's own."""
    monkeypatch.setattr(store_module, "MAX_SIDE", 640)


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


# --- FreiHAND -----------------------------------------------------------------------------------


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


# --- CMU ----------------------------------------------------------------------------------------


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


# --- Dexter+Object ------------------------------------------------------------------------------


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


# --- HIU-Data -----------------------------------------------------------------------------------


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


# --- what all readers share ---------------------------------------------------------------------


def test_every_set_has_a_card_and_a_table_of_bad_samples():
    from pathlib import Path

    for name in READERS:
        folder = Path(reader(name).__file__).parent
        card = (folder / "README.md").read_text()
        for word in ("Layout", "Units", "Split", "Licence", "Known faults"):
            assert word.lower() in card.lower(), f"{name}: the card says nothing about {word}"
        assert (folder / "known_bad.csv").read_text().startswith("sample,reason")


def test_known_bad_samples_are_left_out_with_their_reason(tmp_path, rng):
    formats.freihand(tmp_path, rng)
    (tmp_path / "known_bad.csv").write_text('sample,reason\n00000004,"label of another hand"\n')
    opened = open_split("freihand", str(tmp_path), "train")
    assert "00000004" not in opened.keys
    assert opened.left_out == {"00000004": "label of another hand"}


def test_a_table_of_bad_samples_from_a_spreadsheet(tmp_path, rng):
    formats.freihand(tmp_path, rng)
    (tmp_path / "known_bad.csv").write_bytes("\ufeffsample,reason\n00000004,x\n".encode())
    assert "00000004" not in open_split("freihand", str(tmp_path), "train").keys
    (tmp_path / "known_bad.csv").write_text("sample;reason\n00000004;x\n")
    with pytest.raises(DataSetError, match="the first line must be 'sample,reason'"):
        open_split("freihand", str(tmp_path), "train")


def test_changed_labels_and_known_bad_samples_change_the_fingerprint(tmp_path, rng):
    formats.freihand(tmp_path, rng)

    def stamp():
        return open_split("freihand", str(tmp_path), "train").fingerprint

    first = stamp()
    assert stamp() == first
    labels = json.loads((tmp_path / "training_xyz.json").read_text())
    labels[1][0][0] += 0.001
    (tmp_path / "training_xyz.json").write_text(json.dumps(labels))
    second = stamp()
    (tmp_path / "known_bad.csv").write_text("sample,reason\n00000004,x\n")
    assert len({first, second, stamp()}) == 3


def test_the_four_pictures_of_a_label_are_one_group(tmp_path, rng):
    formats.freihand(tmp_path, rng)
    groups = {key: sample.group for key, sample in read("freihand", tmp_path).items()}
    assert groups["00000001"] == groups["00000004"] == groups["00000010"] != groups["00000000"]


def test_broken_pictures_are_outcomes_and_not_the_end(tmp_path, rng):
    formats.freihand(tmp_path, rng)
    pictures = tmp_path / "training" / "rgb"
    (pictures / "00000001.jpg").unlink()
    (pictures / "00000002.jpg").write_bytes(b"no picture")
    whole = (pictures / "00000003.jpg").read_bytes()
    (pictures / "00000003.jpg").write_bytes(whole[: len(whole) // 2])
    found = list(read("freihand", tmp_path).values())
    assert [isinstance(outcome, Sample) for outcome in found] == [True, False, False, False] + [True] * 8
    for outcome, message in zip(found[1:4], ("is missing", "no readable picture", "is cut off")):
        assert message in str(outcome)


def test_unknown_names_are_refused_with_the_known_ones(tmp_path):
    with pytest.raises(DataSetError, match="unknown data set 'ego'; known are cmu"):
        open_split("ego", str(tmp_path), "train")
    with pytest.raises(DataSetError, match="unknown split 'val'; known are train, test"):
        open_split("stb", str(tmp_path), "val")
    with pytest.raises(DataSetError, match="unknown option 'views'; known are view, wrist"):
        open_split("stb", str(tmp_path), "test", (("views", "SK"),))


@pytest.mark.parametrize("name", ["rhd", "stb", "freihand", "cmu", "dexter_object", "hiu_data", "own_data"])
def test_an_empty_folder_is_named(name, tmp_path):
    with pytest.raises(DataSetError, match=str(tmp_path)):
        open_split(name, str(tmp_path / "nothing"), "train")


def test_wrong_numbers_inside_are_named(tmp_path, rng):
    formats.cmu(tmp_path, rng, hand_pts=[[1, 2, 3]] * 20)
    formats.cmu(tmp_path, rng, "other_l", head_size=None, split="manual_test")
    assert "expected (21, 3)" in str(read("cmu", tmp_path)["000015774_01_l"])
    assert "cmu/other_l" in str(read("cmu", tmp_path, "test")["other_l"])
    formats.hiu_released(tmp_path, rng)
    path = tmp_path / "to_cv_community" / "abcdefghij.json"
    path.write_text(json.dumps({"hand_type": [1, 0]}))
    assert any("pts2d_2hand" in str(outcome) for outcome in everything(tmp_path).values())
