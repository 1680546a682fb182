"""Every program reports in one line that it cannot write: full disk, read-only disk, file in place of a folder."""

import subprocess

import pytest

from tests.faults import kills

_PLACES = ("full", "read-only", "a file")
_SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in kills.PROGRAMS if name != "predict"]


@pytest.fixture(scope="module")
def given(tmp_path_factory, exported_once):
    folder = tmp_path_factory.mktemp("given")
    kills.make_inputs(folder, exported_once)
    return folder


@pytest.fixture
def place(request, tmp_path):
    """A folder on a disk of 48 kB or one that is read-only, or a file where a folder should be."""
    if request.param == "a file":
        (tmp_path / "out").write_text("mine")
        yield tmp_path / "out"
        assert (tmp_path / "out").read_text() == "mine"
        return
    options = "size=48k" if request.param == "full" else "ro,size=48k"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small disk here")
    try:
        yield tmp_path / "out"
        whole = [p.name for p in tmp_path.rglob("*") if p.is_file() and not p.name.startswith("partial-")]
        assert not [name for name in whole if name.endswith((".tflite", ".mp4", ".h5"))]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.long
@pytest.mark.parametrize("place", _PLACES, indirect=True)
@pytest.mark.parametrize("name", ["predict", *_SLOW])
def test_one_line_where_nothing_can_be_written(name, place, given):
    command = kills.PROGRAMS[name].command(given, place)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=kills._quiet())
    assert done.returncode == 1, done.stderr[-800:]
    assert "Traceback" not in done.stderr, done.stderr[-1500:]
    assert "error: " in done.stderr
