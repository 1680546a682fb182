"""The release check: the wheel of this checkout, installed alone in an empty environment of each Python, must predict.

    make release-check
    python -m tests.release.check --pythons /opt/python3.13/bin/python,python3.9

The picture is one that this package drew. Every Python must see the same joints in it, must not have TensorFlow, and
must refuse `hiu train` in one line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from hiu_tf.atomic import written_whole
from hiu_tf.tables import rows_table
from tests.release.packaging import ROOT, build_wheel

PYTHONS = tuple(f"python3.{minor}" for minor in range(9, 14))
#: Pixels of the 200 pixel picture. Interpreters round differently, by less than a thousandth.
TOLERANCE = 0.05
_VERSIONS = """
import importlib.metadata as m, json, sys
names = {d.metadata["Name"].lower(): d.version for d in m.distributions()}
print(json.dumps({"python": sys.version.split()[0], **{n: names.get(n) for n in sys.argv[1:]}}))
"""


class Failed(Exception):
    """One Python does not pass; the message says at which step."""


def drawn_picture(path: Path) -> None:
    """Writes an open hand, the third on the left of the contact sheet of the documentation."""
    from PIL import Image

    with Image.open(ROOT / "docs" / "images" / "predictions.jpg") as sheet:
        sheet.crop((0, 400, 200, 600)).save(path)


def check(python: str, wheel: Path, picture: Path, folder: Path) -> tuple[dict, np.ndarray]:
    """Installs the wheel for one Python and predicts. Returns (row of the table, joints [21, 2]).

    Raises:
      Failed: a step did not do what a release has to.
    """
    _run("venv", python, "-m", "venv", folder / "env")
    inside = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    _run("pip install", inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    _run("pip check", inside, "-m", "pip", "check")
    names = ("numpy", "tflite-runtime", "ai-edge-litert", "opencv-python", "pillow", "tensorflow")
    row = json.loads(_run("versions", inside, "-c", _VERSIONS, *names).stdout)
    if row.pop("tensorflow"):
        raise Failed("TensorFlow came with the wheel alone")
    _run("hiu predict", inside, "-m", "hiu_tf", "predict", picture, "--out", folder / "predictions", "--threads", "1")
    hands = json.loads((folder / "predictions" / f"{picture.stem}.json").read_text())["hands"]
    if len(hands) != 1:
        raise Failed(f"{len(hands)} hands were found in a picture of one")
    refused = _start(inside, "-m", "hiu_tf", "train", "--recipe", "x", "--data", "x", "--out", folder / "run")
    if refused.returncode != 1 or not refused.stderr.startswith("error: ") or refused.stderr.count("\n") != 1:
        raise Failed(f"hiu train was not refused in one line: {refused.stderr[-300:]}")
    return row, np.array(hands[0]["joints_2d"])


def _run(step, *command):
    done = _start(*command)
    if done.returncode:
        raise Failed(f"{step}: {' '.join((done.stderr or done.stdout).split())[-400:]}")
    return done


def _start(*command):
    """Runs a command outside the checkout, where the installed package is imported and not the checkout's."""
    words = list(map(str, command))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as elsewhere:
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=elsewhere, env=environment)


def found_pythons(names) -> list[str]:
    """The Pythons among these names and paths that start; a shim of a version manager may not."""
    return [name for name in names if _starts(name)]


def _starts(name):
    try:
        return not subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode
    except OSError:
        return False


def check_all(pythons: list[str], scratch: Path) -> list[dict]:
    """Checks each Python; returns the rows of the table, with the verdict of each."""
    wheel = build_wheel(scratch)
    picture = scratch / "drawn.png"
    drawn_picture(picture)
    rows, first = [], None
    for number, python in enumerate(pythons):
        folder = scratch / str(number)
        folder.mkdir()
        try:
            row, joints = check(python, wheel, picture, folder)
            first = joints if first is None else first
            apart = float(np.abs(joints - first).max())
            verdict = "passes" if apart <= TOLERANCE else f"joints are {apart:.3g} px from the first Python's"
        except Failed as error:
            row, verdict = {"python": python}, str(error)
        rows.append({**{name: value or "-" for name, value in row.items()}, "verdict": verdict})
        print(f"{python}: {verdict}", flush=True)
    return rows


def main(argv=None) -> int:
    """Runs the check; returns 1 if a Python fails or none is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", default=",".join(PYTHONS), help="names or paths (default %(default)s)")
    parser.add_argument("--out", type=Path, help="write the table there, too")
    args = parser.parse_args(argv)
    names = args.pythons.split(",")
    pythons = found_pythons(names)
    if not pythons:
        print(f"error: none of these starts: {', '.join(names)}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        rows = check_all(pythons, Path(scratch))
    table = rows_table(rows)
    print(f"\n{table}")
    left_out = [name for name in names if name not in pythons]
    if left_out:
        print(f"not on this machine: {', '.join(left_out)}")
    if args.out:
        with written_whole(args.out) as whole:
            whole.write_text(table + "\n")
    return 0 if all(row["verdict"] == "passes" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
