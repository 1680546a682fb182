"""The reader on a small data set in the exact format, with its pitfalls."""

import json

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from pipelines.datasets import DataSetError, open_split
from pipelines.fit import camera_errors
from pipelines.schema import LEFT, UNKNOWN
from pipelines.store import MAX_SIDE


def read(folder, split="train", **options):
    return [outcome for _, outcome in open_split("own_data", str(folder), split, options.items()).outcomes()]


def write_set(folder, pictures, **annotation):
    """Writes a set with one annotation per picture and key points on a diagonal."""
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
    (sample,) = read(write_set(tmp_path / "mine", [picture]))
    assert (sample.dataset, sample.sample_id, sample.side) == ("mine", "10", LEFT)
    np.testing.assert_allclose(sample.joints_2d[0], [4.5, 5.5])  # COCO's pixel corner -> our pixel centre
    np.testing.assert_array_equal(sample.joints_2d_weight == 0, np.arange(21) == 3)
    assert not sample.joints_3d_weight.any()
    sample.validate()


def test_large_pictures_shrink_with_their_points(tmp_path, rng):
    large = rng.integers(0, 255, (100, 2 * MAX_SIDE, 3), dtype=np.uint8)
    (sample,) = read(write_set(tmp_path / "mine", [large]))
    # Cut to three times the hand's box (20 px around (15, 16)) and not shrunk: the points keep their distances.
    assert sample.width < 70
    np.testing.assert_allclose(sample.joints_2d[:, 0] - sample.joints_2d[0, 0], np.arange(21), atol=1e-4)


def test_a_large_hand_shrinks_with_its_points(tmp_path, rng):
    large = rng.integers(0, 255, (2 * MAX_SIDE, 2 * MAX_SIDE, 3), dtype=np.uint8)
    far = [v for k in range(21) for v in (40.0 * k + 100, 40.0 * k + 100, 2)]
    (sample,) = read(write_set(tmp_path / "mine", [large], keypoints=far))
    assert (sample.width, sample.height) == (MAX_SIDE, MAX_SIDE)
    np.testing.assert_allclose(sample.joints_2d[:, 0], (np.arange(21) * 40.0 + 100) / 2 - 0.5, atol=1e-4)


def test_mask_and_unknown_side(tmp_path, picture):
    folder = write_set(tmp_path / "mine", [picture], hand_side=None)
    cv2.imwrite(str(folder / "mask.png"), np.full((40, 60), 255, np.uint8))
    content = json.loads((folder / "train.json").read_text())
    content["images"][0]["mask_file"] = "mask.png"
    (folder / "train.json").write_text(json.dumps(content))
    (sample,) = read(folder)
    assert sample.side == UNKNOWN
    assert cv2.imdecode(np.frombuffer(sample.mask, np.uint8), 0).min() == 255


def test_masks_of_zeros_and_ones_are_masks(tmp_path, picture):
    """As NumPy writes them; an empty one would teach that there is no hand."""
    inside = np.zeros((40, 60), np.uint8)
    inside[10:30, 10:30] = 1
    folder = write_set(tmp_path / "mine", [picture], mask_file="mask.png")
    cv2.imwrite(str(folder / "mask.png"), inside)
    (sample,) = read(folder)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(sample.mask, np.uint8), 0), 255 * inside)
    cv2.imwrite(str(folder / "mask.png"), 0 * inside)
    (refused,) = read(folder)
    assert "the mask mask.png is empty" in str(refused)


def test_a_box_says_where_a_hand_with_few_labels_is(tmp_path, picture):
    """One joint, or none and a mask; where all joints are labelled they say it themselves."""
    box = {"bbox": [4.0, 6.0, 30.0, 20.0]}
    one = [v for k in range(21) for v in ((9.0, 9.0, 2) if k == 8 else (0, 0, 0))]
    every = [v for k in range(21) for v in (5.0 + k, 6.0 + k, 2)]
    for number, (points, expected) in enumerate(((one, True), (None, True), ([], True), (every, False))):
        (sample,) = read(write_set(tmp_path / str(number), [picture], keypoints=points, **box))
        np.testing.assert_allclose(sample.box, [3.5, 5.5, 30, 20] if expected else np.zeros(4))
        assert sample.joints_2d_weight.sum() == (21 if points is every else 1 if points is one else 0)
        sample.validate()
    (refused,) = read(write_set(tmp_path / "bad", [picture], bbox=[4, 6, 0, 20]))
    assert "bbox is [4, 6, 0, 20], expected x, y, width, height" in str(refused)


K = [[100.0, 0, 30], [0, 100, 20], [0, 0, 1]]


def with_3d(folder, picture, joints):
    write_set(folder, [picture], joints_3d=joints)
    edit(folder, lambda content: content["images"][0].update(K=K))
    (found,) = read(folder, extend_tips="0.5")
    return found


def test_joints_without_3d_have_no_weight(tmp_path, picture):
    """null, or the zeros that tools write. A tip beside an unknown joint stays where it is."""
    joints = [[0.001 * k, 0.002 * k, 0.5] for k in range(21)]
    whole = with_3d(tmp_path / "whole", picture, joints)
    joints[3], joints[8] = None, [0, 0, 0]
    sample = with_3d(tmp_path / "some", picture, joints)
    np.testing.assert_array_equal(sample.joints_3d_weight == 0, np.isin(np.arange(21), [3, 8]))
    np.testing.assert_allclose(sample.joints_3d[4], [0.004, 0.008, 0.5], atol=1e-6)
    others = np.delete(np.arange(21), [3, 4, 8])
    np.testing.assert_array_equal(sample.joints_3d[others], whole.joints_3d[others])
    sample.validate()


@pytest.mark.parametrize(
    ("scale", "words"), [((1, 1, -1), "lie behind the camera"), ((1000, 1000, 1000), "are they in metres?")]
)
def test_3d_in_another_frame_or_unit_is_refused(tmp_path, picture, scale, words):
    joints = np.array([[0.003 * k, 0.002 * k, 0.5] for k in range(21)]) * scale
    assert words in str(with_3d(tmp_path / "mine", picture, joints.tolist()))


def test_exif_rotation_is_applied(tmp_path, rng):
    """A picture stored on its side becomes upright, without the EXIF field that would rotate it again."""
    upright = np.zeros((60, 40, 3), np.uint8)
    upright[:10] = 255
    folder = write_set(tmp_path / "mine", [upright])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(np.rot90(upright)).save(folder / "images" / "0.png", "JPEG", exif=exif, quality=95)
    with open(folder / "images" / "0.png", "ab") as file:
        file.write(bytes(300_000))  # as some phones do
    (sample,) = read(folder)
    assert (sample.width, sample.height) == (40, 60)
    assert cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_IGNORE_ORIENTATION)[:8].mean() > 230


SQUARE = {"polygons": [[10, 10, 30, 10, 30, 30, 10, 30]]}


@pytest.mark.parametrize("form", ["polygons", "counts", "compressed"])
def test_segmentation_of_every_form(tmp_path, picture, form):
    inside = np.zeros((40, 60), np.uint8)
    inside[10:30, 10:30] = 1
    runs = coco_mask.encode(np.asfortranarray(inside))
    flat = inside.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    segmentation = {
        "polygons": SQUARE["polygons"],
        "compressed": {"size": [40, 60], "counts": runs["counts"].decode()},
        "counts": {"size": [40, 60], "counts": np.diff([0, *changes, flat.size]).tolist()},
    }[form]
    folder = write_set(tmp_path / "mine", [picture], segmentation=segmentation)
    edit(folder, lambda content: content["images"][0].update(height=40, width=60))
    (sample,) = read(folder)
    found = cv2.imdecode(np.frombuffer(sample.mask, np.uint8), 0)
    np.testing.assert_array_equal(found > 0, inside > 0)


def edit(folder, change):
    content = json.loads((folder / "train.json").read_text())
    change(content)
    (folder / "train.json").write_text(json.dumps(content))


def test_3d_with_its_camera(tmp_path, picture, rng):
    camera = np.array([[50.0, 0, 30.5], [0, 50, 20.5], [0, 0, 1]])
    joints = rng.uniform(-0.1, 0.1, (21, 3)) + [0, 0, 0.6]
    pixels = joints @ camera.T
    points = np.hstack([pixels[:, :2] / pixels[:, 2:], np.full((21, 1), 2)])
    folder = write_set(tmp_path / "mine", [picture], joints_3d=joints.tolist(), keypoints=points.ravel().tolist())
    (refused,) = read(folder)
    assert "joints_3d needs the camera" in str(refused)
    edit(folder, lambda content: content["images"][0].update(K=camera.tolist()))
    (sample,) = read(folder)
    np.testing.assert_allclose(sample.joints_3d, joints, atol=1e-6)
    assert not [error for error in camera_errors(sample) if "K X" in error]


def test_fingertips_are_moved_to_the_ends_of_the_fingers(tmp_path, picture, rng):
    """In 2D and 3D by the share of the last bone, so that a 3D tip stays on its finger's line; nothing else moves."""
    camera = np.array([[50.0, 0, 30.5], [0, 50, 20.5], [0, 0, 1]])
    joints = rng.uniform(-0.1, 0.1, (21, 3)) + [0, 0, 0.6]
    points = rng.uniform(5, 35, (21, 3))
    points[:, 2] = 2
    points[7, 2] = 0  # beside the tip of the index finger
    labels = {"joints_3d": joints.tolist(), "keypoints": points.ravel().tolist()}
    folder = write_set(tmp_path / "mine", [picture], **labels)
    edit(folder, lambda content: content["images"][0].update(K=camera.tolist()))
    (plain,), (moved,) = read(folder), read(folder, extend_tips="0.35")
    flat, deep = points[:, :2] - 0.5, joints.copy()
    for tip in (4, 8, 12, 16, 20):
        if tip != 8:
            deep[tip] = joints[tip - 1] + 1.35 * (joints[tip] - joints[tip - 1])
            flat[tip] = flat[tip - 1] + 1.35 * (flat[tip] - flat[tip - 1])
    np.testing.assert_allclose(moved.joints_2d, flat, atol=1e-4)
    np.testing.assert_allclose(moved.joints_3d, deep, atol=1e-6)
    np.testing.assert_allclose(plain.joints_2d, points[:, :2] - 0.5, atol=1e-5)
    for wrong in ("-0.1", "1.5", "much", "nan"):
        with pytest.raises(DataSetError, match="extend_tips is a number from 0 to 1"):
            read(folder, extend_tips=wrong)


def test_a_mask_of_a_picture_with_two_hands_is_nobodys(tmp_path, picture):
    folder = write_set(tmp_path / "mine", [picture])
    cv2.imwrite(str(folder / "mask.png"), np.full((40, 60), 255, np.uint8))

    def two_hands(content):
        content["images"][0]["mask_file"] = "mask.png"
        content["annotations"].append(content["annotations"][0] | {"id": 11})

    edit(folder, two_hands)
    assert [bool(sample.mask) for sample in read(folder)] == [False, False]


def test_parts_are_disjoint_and_complete(tmp_path, picture):
    opened = open_split("own_data", str(write_set(tmp_path / "mine", [picture] * 5)), "train")
    ids = [[sample.sample_id for _, sample in opened.outcomes(part, 2)] for part in (0, 1)]
    assert sorted(ids[0] + ids[1]) == ["10", "11", "12", "13", "14"]


def test_exif_in_a_png_is_applied_too(tmp_path):
    upright = np.zeros((60, 40, 3), np.uint8)
    folder = write_set(tmp_path / "mine", [upright])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright)).save(folder / "images" / "0.png", exif=exif)
    (sample,) = read(folder)
    stored = tf.io.decode_image(sample.image)
    assert stored.shape[:2] == (sample.height, sample.width)


def test_a_mask_of_another_shape_is_refused(tmp_path, picture):
    folder = write_set(tmp_path / "mine", [picture], mask_file="mask.png")
    cv2.imwrite(str(folder / "mask.png"), np.full((60, 40), 255, np.uint8))
    assert "the mask is 40x60, the picture 60x40" in str(read(folder)[0])
    cv2.imwrite(str(folder / "mask.png"), np.full((20, 30), 255, np.uint8))  # the same shape, half the size
    assert read(folder)[0].mask


def test_numbers_that_are_none_are_refused_before_anything_is_cut(tmp_path, rng):
    large = rng.integers(0, 255, (800, 1000, 3), dtype=np.uint8)
    points = [float("nan")] + [500.0] * 62
    assert "joints_2d holds values that are not finite" in str(
        read(write_set(tmp_path / "mine", [large], keypoints=points))[0]
    )


def test_one_labelled_joint_keeps_some_of_its_picture(tmp_path, rng):
    large = rng.integers(0, 255, (800, 1000, 3), dtype=np.uint8)
    (sample,) = read(write_set(tmp_path / "mine", [large], keypoints=[400, 300, 2] + [0] * 60))
    assert min(sample.width, sample.height) >= 90


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"keypoints": [1, 2, 3]}, "annotation 10: keypoints has 3 numbers"),
        ({"keypoints": [0.4, 0.6, 2, 0.5, 0.3, 2, 0.45, 0.5, 1] * 7}, "lie within 0.3 pixels: keypoints are in pixels"),
        ({"image_id": 99}, "image_id 99 is not among"),
        ({"hand_side": "both"}, "hand_side is 'both', expected one of"),
        ({"segmentation": "all of it"}, "segmentation is neither polygons nor RLE"),
        ({"mask_file": "nowhere.png"}, "nowhere.png is missing"),
    ],
)
def test_bad_annotations_are_named(tmp_path, picture, annotation, message):
    folder = write_set(tmp_path / "mine", [picture], **annotation)
    edit(folder, lambda content: content["images"][0].update(height=40, width=60))
    (outcome,) = read(folder)
    assert message in str(outcome)


def test_missing_things_are_named(tmp_path, picture):
    with pytest.raises(DataSetError, match=r"cannot read .*train.json"):
        read(tmp_path)
    folder = write_set(tmp_path / "mine", [picture])
    (folder / "images" / "0.png").write_bytes(b"not a picture")
    assert "is no readable picture" in str(read(folder)[0])
    edit(folder, lambda content: content["annotations"].append(content["annotations"][0]))
    with pytest.raises(DataSetError, match="1 images or annotations repeat the id of another"):
        read(folder)
    (folder / "train.json").write_text("{} ")
    with pytest.raises(DataSetError, match="no COCO key point file"):
        read(folder)


@pytest.mark.parametrize(
    ("size", "fits"), [((60, 40), True), ((40, 60), False), ((120, 80), False), ((0, 0), True), ((60, None), True)]
)
def test_labels_of_a_picture_of_another_size_are_refused(size, fits, tmp_path, picture):
    """60 x 40: turned, or scaled since it was labelled, it is not the one on which the labels lie."""
    folder = write_set(tmp_path / "mine", [picture])
    content = json.loads((folder / "train.json").read_text())
    content["images"][0] |= dict(zip(("width", "height"), size))
    (folder / "train.json").write_text(json.dumps(content))
    (outcome,) = read(folder)
    assert isinstance(outcome, DataSetError) != fits
    if not fits:
        assert f"is 60x40, its labels are of a picture of {size[0]}x{size[1]} pixels" in str(outcome)
