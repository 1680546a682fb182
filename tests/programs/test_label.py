"""`hiu label`: what several looks agree on, on rendered hands whose joints are known, and on pictures without hands."""

import json

import cv2
import numpy as np
import pytest

from hiu_tf.cli import main
from hiu_tf.geometry.window import box_of
from hiu_tf.pictures import read_picture
from hiu_tf.runtime.agreement import agreement
from hiu_tf.runtime.predictor import Predictor
from pipelines.datasets import open_split

COUNT = 10


@pytest.fixture(scope="module")
def rendered():
    """Rendered hands: (file content, joints [21, 2], side as a word)."""
    samples = [sample for _, sample in open_split("synthetic", str(COUNT), "val").outcomes()]
    return [(sample.image, sample.joints_2d, ("right", "left")[sample.side]) for sample in samples]


@pytest.fixture(scope="module")
def source(rendered, tmp_path_factory):
    """Boxes of the rendered hands, the first of which has key points; a box on a wall; a picture that is none."""
    folder = tmp_path_factory.mktemp("boxes")
    images, annotations = [], []
    for number, (content, joints, side) in enumerate(rendered):
        (folder / f"{number}.png").write_bytes(content)
        x, y, width, height = box_of(joints + 0.5)
        images.append({"id": number, "file_name": f"{number}.png"})
        annotations.append({"id": number, "image_id": number, "bbox": [x, y, width, height], "hand_side": side})
    annotations[0]["keypoints"] = np.column_stack([rendered[0][1] + 0.5, np.full(21, 2)]).ravel().tolist()
    cv2.imwrite(str(folder / "wall.png"), np.full((120, 160, 3), 90, np.uint8))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    images += [{"id": 100, "file_name": "wall.png"}, {"id": 101, "file_name": "broken.png"}]
    annotations += [{"id": k, "image_id": k, "bbox": [20, 20, 60, 60]} for k in (100, 101)]
    (folder / "train.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


@pytest.fixture(scope="module")
def labelled(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("labelled")
    assert main(["label", str(source / "train.json"), "--out", str(out), "--split", "new", "--threads", "1"]) == 0
    return out, json.loads((out / "new.json").read_text())


def test_new_labels_lie_on_the_joints(labelled, rendered):
    """Of the hands with a label, joints are right within a tenth of the box on average; the side is the given one."""
    out, content = labelled
    names = {image["id"]: image["file_name"] for image in content["images"]}
    new = [one for one in content["annotations"] if "spread" in one]
    assert len(new) >= COUNT // 2
    errors = []
    for one in new:
        joints, side = rendered[int(names[one["image_id"]].partition("_")[2].partition(".")[0])][1:]
        points = np.reshape(one["keypoints"], (21, 3))
        assert one["hand_side"] == side and np.all(points[:, 2] == 2) and one["num_keypoints"] == 21
        assert one["spread"] <= 0.035 and one["score"] >= 0.4
        errors.append(np.linalg.norm(points[:, :2] - 0.5 - joints, axis=1).mean() / max(box_of(joints)[2:]))
    assert np.mean(errors) < 0.1
    assert (out / "labels.png").stat().st_size > 1000


def test_what_is_labelled_stays_and_no_hand_gets_none(labelled, source):
    _, content = labelled
    given = json.loads((source / "train.json").read_text())["annotations"][0]
    (kept,) = [one for one in content["annotations"] if "spread" not in one]
    assert kept == given | {"id": kept["id"], "image_id": kept["image_id"]}
    assert not any("wall" in image["file_name"] or "broken" in image["file_name"] for image in content["images"])


def test_the_result_is_read_as_own_data(labelled):
    """Key points come back as they were written: both sides agree on where a pixel's origin is."""
    out, content = labelled
    samples = [sample for _, sample in open_split("own_data", str(out), "new").outcomes()]
    assert len(samples) == len(content["annotations"])
    for sample, one in zip(samples, content["annotations"]):
        expected = np.reshape(one["keypoints"], (21, 3))[:, :2] - 0.5
        moved = sample.joints_2d - expected  # a region of a large picture is shifted as a whole
        np.testing.assert_allclose(moved, np.broadcast_to(moved.mean(axis=0), moved.shape), atol=0.01)


def test_a_folder_of_pictures_is_searched_for_hands(source, tmp_path, capsys):
    assert main(["label", str(source), "--out", str(tmp_path), "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    content = json.loads((tmp_path / "train.json").read_text())
    assert len(content["annotations"]) >= COUNT // 2 and "hands labelled, 0 kept" in out
    assert "broken.png" in err
    assert main(["label", str(source), "--out", str(tmp_path)]) == 1
    assert "exists: give another" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", '{"images": [], "annotations": [{"image_id": 1, "bbox": [1]}]}'])
def test_a_damaged_file_is_named(content, tmp_path, capsys):
    (tmp_path / "train.json").write_text(content)
    assert main(["label", str(tmp_path / "train.json"), "--out", str(tmp_path / "out")]) == 1
    assert "train.json is no file of annotations in COCO's form" in capsys.readouterr().err


def test_agreement_of_a_hand_is_closer_than_that_of_noise(source, rng):
    """Looks at a hand agree with each other; on noise they do not, and are unsure."""
    predictor = Predictor(threads=1, fit=False)
    picture = read_picture(source / "1.png")
    hand = agreement(predictor, predictor.predict(picture)[0])
    noise = rng.integers(0, 255, (200, 200, 3)).astype(np.uint8)
    none = agreement(predictor, predictor.predict(noise, box=(50, 50, 100, 100), side="right")[0])
    assert hand.spread < 0.05 < none.spread and none.score < 0.5 * hand.score
    assert hand.joints_2d.shape == (21, 2)
