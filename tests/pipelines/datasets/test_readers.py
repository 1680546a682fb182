"""What the readers of all data sets share: cards, known bad samples, groups, broken files."""

import json

import pytest

from pipelines.datasets import READERS, DataSetError, open_split, reader
from pipelines.schema import Sample
from tests.pipelines.datasets import formats
from tests.pipelines.datasets.reading import read


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
