"""The page that compares runs: values, differing settings, curves; what is no run is refused."""

import json

import pytest

from hiu_tf.errors import UserError
from hiu_tf.programs.compare import main
from hiu_tf.training.comparison import curves, different_rows, value_rows
from hiu_tf.training.journal import JSON_LOG, read_journal


def write_run(folder, rate, values):
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(json.dumps({"model": "tiny", "train": {"learning_rate": rate, "steps": 4}}))
    lines = [{"step": 2 * k + 2, "loss": v, "loss/synthetic": v, "val_mask_iou": v / 10} for k, v in enumerate(values)]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")


def test_values_settings_and_curves():
    records = {
        "a": [
            {"step": 2, "loss": 3.0, "val_mask_iou": 0.5, "loss/x": 1},
            {"step": 4, "loss": 4.0, "val_mask_iou": 0.4},
        ],
        "b": [{"step": 2, "loss": 1.0}],
    }
    assert value_rows(records) == [["loss", "4 (3, 2)", "1 (1, 2)"], ["val_mask_iou", "0.4 (0.5, 2)", "-"]]
    assert different_rows({"a": {"x": 1, "y": [2]}, "b": {"x": 1, "y": [3], "z": "t"}}) == [["y", "[2]", "[3]"], ["z", "-", '"t"']]  # fmt: skip
    assert curves(records) == {
        "loss": {"a": ((2, 4), (3.0, 4.0)), "b": ((2,), (1.0,))},
        "val_mask_iou": {"a": ((2, 4), (0.5, 0.4))},
    }


def test_a_page_of_two_runs(tmp_path, capsys):
    write_run(tmp_path / "a" / "run", 0.001, [5, 4])
    write_run(tmp_path / "b" / "run", 0.002, [5, 3])
    page = tmp_path / "page.html"
    runs = [str(tmp_path / name / "run") for name in "ab"]
    assert main([*runs, "--out", str(page)]) == 0
    text = page.read_text()
    assert "train.learning_rate" in text and "train.steps" not in text and "data:image/png" in text
    assert runs[0] in text, "two folders of the same name are told apart"


def test_a_journal_that_was_cut_is_named(tmp_path):
    write_run(tmp_path / "a", 0.001, [5, 4])
    journal = tmp_path / "a" / JSON_LOG
    journal.write_text(journal.read_text()[:-20])
    with pytest.raises(UserError, match="log.jsonl, line 2 is no record of an epoch"):
        read_journal(tmp_path / "a")


def test_what_is_no_run_is_refused(tmp_path):
    write_run(tmp_path / "a", 0.001, [5])
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="two runs or more"):
        main([str(tmp_path / "a")])
    with pytest.raises(UserError, match="b is no run with a finished epoch"):
        main([str(tmp_path / "a"), str(tmp_path / "b")])
