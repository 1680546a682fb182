"""The launcher: which exit codes lead to a restart, and that no worker outlives it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from hiu_tf.programs import launch
from tests.places import RECIPES

SLEEP = "import time; time.sleep(600)"


def workers(*programs):
    return [subprocess.Popen([sys.executable, "-c", program]) for program in programs]


@pytest.mark.parametrize(
    ("programs", "codes", "again"),
    [
        (("", ""), [0, 0], False),
        (("raise SystemExit(1)", SLEEP), [1], False),
        (("raise SystemExit(75)", "raise SystemExit(75)"), [75, 75], True),
        (("import os; os.kill(os.getpid(), 9)", SLEEP), [-9], True),
    ],
)
def test_who_is_started_again(programs, codes, again):
    started = workers(*programs)
    try:
        assert launch.exit_codes(started) == codes
        assert launch.worth_another_try(codes) == again
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.long
def test_a_mistake_is_said_once(tmp_path):
    """Both workers refuse the recipe and are not restarted."""
    arguments = ["--recipe", "none.yaml", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    command = [sys.executable, "-m", "hiu_tf.programs.launch", "--workers", "2", "--", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "cannot read the recipe none.yaml" in result.stderr
    assert "starting all again" not in result.stdout


def test_no_worker_outlives_it(tmp_path):
    """SIGTERM ends the launcher and all its workers, even before they have started training."""
    arguments = ["--recipe", str(RECIPES / "quickstart.yaml"), "--data", str(tmp_path), "--out", str(tmp_path / "r")]
    command = [sys.executable, "-m", "hiu_tf.programs.launch", "--workers", "2", "--", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = []
    while len(children) < 2:
        time.sleep(0.02)
        found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        children = [int(pid) for pid in found.stdout.split()]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
