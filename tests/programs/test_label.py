"""`hiu label`: what several looks agree on, on rendered hands whose joints are known, and on pictures without hands."""

import json
import shutil

import cv2
import numpy as np
import pytest

from hiu_tf.cli import main
from hiu_tf.conventions import keys
from hiu_tf.geometry.window import box_of
from hiu_tf.pictures import is_ours, read_picture
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
    """Boxes of the rendered hands, the first with key points; and everything that can be wrong with a box or a picture."""
    folder = tmp_path_factory.mktemp("boxes")
    images, annotations = [], []
    for number, (content, joints, side) in enumerate(rendered):
        (folder / f"{number}.png").write_bytes(content)
        images.append({"id": number, "file_name": f"{number}.png"})
        box = list(map(float, box_of(joints + 0.5)))
        annotations.append({"id": number, "image_id": number, "bbox": box, "hand_side": side})
    annotations[0]["keypoints"] = np.column_stack([rendered[0][1] + 0.5, np.full(21, 2)]).ravel().tolist()
    annotations.append(annotations[1] | {"id": 50})  # the same hand again
    cv2.imwrite(str(folder / "wall.png"), np.full((120, 160, 3), 90, np.uint8))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    (folder / "folder.png").mkdir()
    for k, file in enumerate(("wall.png", "broken.png", "missing.png", "folder.png", "../outside.png", "a\0.png"), 100):
        images.append({"id": k, "file_name": file})
        annotations.append({"id": k, "image_id": k, "bbox": [20, 20, 60, 60], "hand_side": "right"})
    for k, wrong in enumerate(
        (
            {"bbox": "abcd"}, {"bbox": [None] * 4}, {"bbox": [1, 2, 0, 4]}, {"bbox": [9e9, 9e9, 5, 5]}, {"bbox": None},
            {"hand_side": "Left"}, {"image_id": 999}, {"image_id": []}, {"iscrowd": 1}, {"keypoints": 5},
        ),
        200,
    ):  # fmt: skip
        annotations.append({"id": k, "image_id": 2, "bbox": [5, 5, 20, 20]} | wrong)
    (folder / "train.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


@pytest.fixture(scope="module")
def labelled(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("labelled")
    assert main(["label", str(source / "train.json"), "--out", str(out), "--split", "new", "--threads", "1"]) == 0
    return out, json.loads((out / "new.json").read_text())


def test_labels_lie_on_the_joints(labelled, rendered):
    """Joints are right within a tenth of the box on average; sides and boxes are the given ones, each hand's once."""
    out, content = labelled
    assert len(content["annotations"]) >= COUNT // 2
    boxes = {tuple(np.round(box_of(joints + 0.5), 3)): (joints, side) for _, joints, side in rendered[1:]}
    errors, seen = [], set()
    for one in content["annotations"]:
        box = tuple(np.round(one["bbox"], 3))
        joints, side = boxes[box]
        points = np.reshape(one["keypoints"], (21, 3))
        assert one["hand_side"] == side and np.all(points[:, 2] == 2) and one["num_keypoints"] == 21
        assert one["spread"] <= 0.035 and one["score"] >= 0.4 and box not in seen
        errors.append(np.linalg.norm(points[:, :2] - 0.5 - joints, axis=1).mean() / max(box_of(joints)[2:]))
        seen.add(box)
    assert np.mean(errors) < 0.1
    for image in content["images"]:
        assert (image["width"], image["height"]) == read_picture(out / image["file_name"]).shape[1::-1]
    assert is_ours(out / "new_labels.png"), "a sheet is never taken for a photograph"


def test_what_is_wrong_is_named_and_nothing_else_is_lost(source, tmp_path, capsys):
    """Each bad annotation or picture is one line; all others get their labels."""
    assert main(["label", str(source / "train.json"), "--out", str(tmp_path), "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    for words in ("broken.png: ", "missing.png", "folder.png", "annotation 104: ", "expected a file inside", "annotation 200: bbox is 'abcd'",
                  "annotation 201: ", "annotation 202: ", "annotation 203: ", "annotation 204: bbox is None", "hand_side is 'Left'",
                  "annotation 206: its image_id is not among", "annotation 207: "):  # fmt: skip
        assert words in err, words
    assert "1 already with key points" in out and "1 a crowd" in out and "hands labelled" in out
    assert "Traceback" not in err


def test_the_result_is_read_as_own_data(labelled):
    """Key points come back as they were written: both sides agree on where a pixel's origin is."""
    out, content = labelled
    samples = [sample for _, sample in open_split("own_data", str(out), "new").outcomes()]
    assert len(samples) == len(content["annotations"])
    for sample, one in zip(samples, content["annotations"]):
        expected = np.reshape(one["keypoints"], (21, 3))[:, :2] - 0.5
        moved = sample.joints_2d - expected  # a region of a large picture is shifted as a whole
        np.testing.assert_allclose(moved, np.broadcast_to(moved.mean(axis=0), moved.shape), atol=0.01)


def test_another_split_leaves_the_first_alone(labelled, source, capsys):
    out, _ = labelled
    files = lambda: {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    before = files()
    assert main(["label", str(source / "train.json"), "--out", str(out), "--split", "new"]) == 1
    assert "exists, and nothing is replaced" in capsys.readouterr().err
    assert main(["label", str(source / "train.json"), "--out", str(out), "--split", "other"]) == 0
    assert before.items() <= files().items()


def test_pictures_that_lie_where_the_copies_belong_are_kept(source, tmp_path, capsys):
    """The labels of images/train/000001.png written beside it would copy one photograph over the other."""
    (tmp_path / "images" / "train").mkdir(parents=True)
    content = json.loads((source / "train.json").read_text())
    whole = [
        image
        for image in content["images"]
        if "\0" not in image["file_name"] and (source / image["file_name"]).is_file()
    ]
    for number, image in enumerate(reversed(whole), start=1):
        name = f"images/train/{number:06d}.png"
        shutil.copy(source / image["file_name"], tmp_path / name)
        image["file_name"] = name
    (tmp_path / "mine.json").write_text(json.dumps(content))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert main(["label", str(tmp_path / "mine.json"), "--out", str(tmp_path)]) == 1
    assert "images/train exists, and nothing is replaced" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert main(["label", str(source), "--out", str(tmp_path / "mine.json")]) == 1
    assert "mine.json is a file: --out is the folder for the labels" in capsys.readouterr().err


def test_pictures_without_labels_are_searched_but_not_those_of_the_result(source, rendered, tmp_path, capsys):
    for number in range(COUNT):
        shutil.copy(source / f"{number}.png", tmp_path)
    out = tmp_path / "out"
    code = main(["label", str(tmp_path), "--out", str(out), "--threads", "1"])
    tells = keys.RIGHT in Predictor(threads=1).card["outputs"]
    said = capsys.readouterr()
    assert code == 0 if tells else "no hand of" in said.err and "of unsure side" in said.out
    if tells:
        first = len(json.loads((out / "train.json").read_text())["annotations"])
        assert main(["label", str(tmp_path), "--out", str(out), "--split", "again", "--threads", "1"]) == 0
        assert len(json.loads((out / "again.json").read_text())["annotations"]) == first


@pytest.mark.parametrize("content", ["", "[]", '{"images": [], "annotations": []}', "\x89PNG"])
def test_a_damaged_file_is_named(content, tmp_path, capsys):
    (tmp_path / "train.json").write_text(content)
    assert main(["label", str(tmp_path / "train.json"), "--out", str(tmp_path / "out")]) == 1
    assert "train.json" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--most-spread", "nan"], ["--split", "a/b"], ["--least-score", "-1"]])
def test_options_that_cannot_be(options, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["label", str(tmp_path), "--out", str(tmp_path / "out"), *options])
    assert options[0] in capsys.readouterr().err


def test_agreement_of_a_hand_is_closer_than_that_of_noise(source, rng):
    """Looks at a hand agree with each other; on noise they do not, and are unsure."""
    predictor = Predictor(threads=1, fit=False)
    picture = read_picture(source / "1.png")
    hand = agreement(predictor, predictor.predict(picture)[0])
    noise = rng.integers(0, 255, (200, 200, 3)).astype(np.uint8)
    none = agreement(predictor, predictor.predict(noise, box=(50, 50, 100, 100), side="right")[0])
    assert hand.spread < 0.05 < none.spread and none.score < 0.5 * hand.score
    assert hand.joints_2d.shape == (21, 2)
