"""hiu predict --show: a clip and a picture in a window on a virtual screen, and one line where there is no screen."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from hiu_tf.cli import main

SAMPLE = Path(__file__).parents[2] / "hiu_tf" / "web" / "site" / "sample.jpg"


def test_without_a_screen_it_says_so_and_writes_nothing(tmp_path, monkeypatch, capsys):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform != "linux":
        pytest.skip("a screen without DISPLAY")
    assert main(["predict", str(SAMPLE), "--out", str(tmp_path / "out"), "--show"]) == 1
    assert capsys.readouterr().err.startswith("error: --show needs a screen")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def display(monkeypatch):
    """A virtual screen."""
    if not (shutil.which("Xvfb") and shutil.which("xdotool")):
        pytest.skip("needs Xvfb and xdotool")
    reading, writing = os.pipe()
    # Without -noreset the server starts anew, and refuses who comes meanwhile, each time xdotool leaves as its last client.
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-noreset", "-screen", "0", "1600x900x24"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as number:
        monkeypatch.setenv("DISPLAY", ":" + number.readline().strip())
    yield
    server.terminate()
    server.wait()


def _press_until(process, key, done):
    """Presses a key in the window until `done`: the window may not have the focus at once."""
    for _ in range(600):
        if done():
            return
        found = subprocess.run(["xdotool", "search", "--name", "^hiu$"], capture_output=True, text=True, check=False)
        if found.stdout.split():
            press = ["xdotool", "windowfocus", found.stdout.split()[-1], "key", key]
            subprocess.run(press, check=False, stderr=subprocess.DEVNULL)
        assert process.poll() is None or done(), process.stderr.read()
        time.sleep(0.1)
    raise AssertionError(f"{key} has no effect")


def test_a_key_goes_on_and_q_ends_a_clip(display, tmp_path):
    frame = cv2.resize(cv2.imread(str(SAMPLE)), (160, 120))
    writer = cv2.VideoWriter(str(tmp_path / "long.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (160, 120))
    for _ in range(3000):
        writer.write(frame)
    writer.release()
    out = tmp_path / "out"
    inputs = [str(SAMPLE), str(tmp_path / "long.mp4")]
    with subprocess.Popen(
        [sys.executable, "-m", "hiu_tf", "predict", *inputs, "--out", str(out), "--show"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        _press_until(process, "space", lambda: any(out.glob("partial-*")))  # the scratch film of the clip
        assert (out / "sample.json").exists()
        _press_until(process, "q", (out / "long.mp4").exists)
        assert process.wait(60) == 0
    assert 0 < len((out / "long.jsonl").read_text().splitlines()) - 1 < 3000
