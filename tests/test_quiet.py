"""What is printed past Python is hidden, and shown again after an exception."""

import subprocess
import sys

import pytest

CODE = """
import os
from hiu_tf.quiet import without_chatter
with without_chatter():
    os.write(2, b"chatter ")
    {inside}
os.write(2, b"after")
"""


@pytest.mark.parametrize(
    ("inside", "shown"), (("pass", "after"), ("raise SystemExit(3)", "chatter ")), ids=("success", "exception")
)
def test_chatter_is_hidden_unless_there_is_an_exception(inside, shown):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(inside=inside)], capture_output=True, text=True, check=False
    )
    assert done.stderr == shown


def test_a_prediction_prints_nothing_but_its_line(tmp_path):
    """Neither the interpreter nor OpenCV prints anything; with --quiet nothing is printed at all."""
    from PIL import Image

    Image.new("RGB", (80, 60), (90, 120, 150)).save(tmp_path / "a.png")
    command = [sys.executable, "-m", "hiu_tf", "predict", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == "" and len(done.stdout.splitlines()) == 2
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=True)
    assert done.stderr == done.stdout == ""
