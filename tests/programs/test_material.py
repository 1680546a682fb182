"""`hiu material`: from folders of photographs to all records of a training, once."""

import json

import pytest

from hiu_tf.cli import main
from pipelines.datasets import open_split
from pipelines.records import read_index


@pytest.fixture
def photos(tmp_path):
    """Rendered hands as a user's folders: "ours" with train and val, and "notes" without a list."""
    folder = tmp_path / "photos" / "ours"
    folder.mkdir(parents=True)
    (tmp_path / "photos" / "notes").mkdir()
    split = open_split("synthetic", "3", "train")
    samples = split.load_many(list(split.keys))
    for name, chosen in (("train", samples[:2]), ("val", samples[2:])):
        images, hands = [], []
        for number, sample in enumerate(chosen):
            (folder / f"{name}{number}.jpg").write_bytes(sample.image)
            images.append(
                {"id": number, "file_name": f"{name}{number}.jpg", "width": sample.width, "height": sample.height}
            )
            images[-1]["K"] = sample.intrinsics.tolist()
            points = [[x + 0.5, y + 0.5, 2] for x, y in sample.joints_2d.tolist()]
            hand = {"keypoints": sum(points, []), "joints_3d": sample.joints_3d.tolist(), "hand_side": "right"}
            hands.append({"id": number, "image_id": number, "category_id": 1, **hand})
        (folder / f"{name}.json").write_text(json.dumps({"images": images, "annotations": hands}))
    return tmp_path / "photos"


@pytest.mark.long
def test_all_records_once(photos, tmp_path, capsys):
    (tmp_path / "walls").mkdir()
    (tmp_path / "walls" / "wall.jpg").write_bytes((photos / "ours" / "train0.jpg").read_bytes())
    words = ["material", photos, "--out", tmp_path / "data", "--rendered", 60, "--backdrops", tmp_path / "walls"]
    words = [str(word) for word in (*words, "--hands-without-label", "ours")]
    assert main(words) == 0
    assert "masks: 2 predicted" in capsys.readouterr().out
    counts = lambda *folder: read_index(tmp_path.joinpath("data", *folder[:-1]), folder[-1])[1]["samples"]
    assert [counts("ours", split) for split in ("train", "val")] == [2, 1]
    assert [counts("fitted", "ours", split) for split in ("train", "val")] == [2, 1]
    assert [counts("synthetic_real", split) for split in ("train", "val")] == [60, 2]
    assert [counts("no_hand", split) for split in ("train", "val")] == [500, 100], "drawn ones alone"
    assert counts("backdrops", "train") == 8
    assert main(words) == 0
    assert "==" not in capsys.readouterr().out, "nothing is made twice"


def test_what_is_not_there_is_said(photos, tmp_path, capsys):
    def refused(words, *arguments):
        assert main(["material", *map(str, arguments), "--out", str(tmp_path / "data")]) == 1
        assert words in capsys.readouterr().err

    refused("has no folder with a train.json", tmp_path)
    refused("--hands-without-label: ", photos, "--hands-without-label", "ours,theirs")
