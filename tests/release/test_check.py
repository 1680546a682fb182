"""The release check itself; the whole of it runs by `make release-check`."""

import sys

import numpy as np
import pytest

from tests.release import check


def test_only_pythons_that_start_are_checked(tmp_path):
    shim = tmp_path / "python3.8"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    assert check.found_pythons([str(shim), "no-such-python", sys.executable]) == [sys.executable]


def test_no_python_is_a_failure(capsys):
    assert check.main(["--pythons", "no-such-python"]) == 1
    assert "none of these starts: no-such-python" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        (np.zeros((21, 2)), "passes"),
        (np.ones((21, 2)), "joints are 1 px"),
        (check.Failed("pip check: x"), "pip check: x"),
    ],
)
def test_one_that_differs_or_fails_does_not_pass(second, verdict, monkeypatch, tmp_path, capsys):
    answers = iter([np.zeros((21, 2)), second])

    def checked(python, wheel, picture, folder):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return {"python": python, "numpy": None}, answer

    monkeypatch.setattr(check, "check", checked)
    monkeypatch.setattr(check, "build_wheel", lambda folder: folder / "x.whl")
    monkeypatch.setattr(check, "found_pythons", lambda names: names)
    assert check.main(["--pythons", "a,b", "--out", str(tmp_path / "table.md")]) == (verdict != "passes")
    assert verdict in (tmp_path / "table.md").read_text().splitlines()[-1]


def test_the_picture_holds_one_hand(tmp_path):
    from hiu_tf import predict

    check.drawn_picture(tmp_path / "drawn.png")
    assert len(predict(tmp_path / "drawn.png")) == 1


@pytest.mark.slow
def test_the_wheel_predicts_alone(tmp_path):
    """One Python of the release check: this one, in an environment of its own (needs a package index)."""
    rows = check.check_all([sys.executable], tmp_path)
    assert [row["verdict"] for row in rows] == ["passes"]
