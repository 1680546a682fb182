"""Kills programs at random moments (seeded), restarts them, and checks their files.

    python -m tests.faults.kills --count 50
    python -m tests.faults.kills --count 5 --programs predict,clip --seed 7

After a kill every file with a final name is complete: byte for byte equal to that of an uninterrupted run. After a
restart the results equal those of the uninterrupted run, no scratch file is left, and no process of the killed run is
alive.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.places import RECIPES

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_MOST_S = 300


class Program(NamedTuple):
    """A program to kill.

    Attributes:
      command: (inputs, out) -> arguments.
      results: out -> {name: content} of its final files, in comparable form.
    """

    command: Callable[[Path, Path], list[str]]
    results: Callable[[Path], dict]


def _files(*patterns):
    return lambda out: {
        str(p.relative_to(out)): p.read_bytes()
        for pattern in patterns
        for p in sorted(out.glob(pattern))
        if p.is_file() and not p.name.startswith("partial-")
    }


def _weights(out):
    """Exact bytes of the weights; the whole file differs, because it contains a date."""
    import h5py

    found = {}
    for path in out.glob("network.weights.h5"):
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item: found.update({name: item[()].tobytes()}) if hasattr(item, "shape") else None
            )
    return found


def _answers(out):
    """Predictions of exported models for one crop."""
    from hiu_tf.runtime.backend import load_network

    found = {}
    for path in [*out.glob("*.tflite"), *out.glob("[0-9]*")]:
        network, card, _ = load_network(path, 1)
        crop = np.full((1, card["image_size"], card["image_size"], 3), 0.4, np.float32)
        found[path.suffix or "SavedModel"] = {k: np.round(v, 4).tobytes() for k, v in network(crop).items()}
    return found


def _tool(name, *arguments):
    return [sys.executable, "-m", f"hiu_tf.programs.{name}", *map(str, arguments)]


_TINY = [part for setting in ("model=tiny", "train.steps=6", "train.steps_per_epoch=2", "train.batch_size=2", "train.validate=[]") for part in ("--set", setting)]  # fmt: skip

PROGRAMS = {
    "prepare": Program(
        lambda given, out: _tool("prepare", "synthetic", "--source", 24, "--split", "train", "--out", out, "--shards", 4, "--workers", 2),
        _files("*.tfrecord", "index.json"),
    ),
    "train": Program(
        lambda given, out: _tool("train", "--recipe", RECIPES / "quickstart.yaml", "--data", given, "--out", out, *_TINY),
        _weights,
    ),
    "export": Program(
        lambda given, out: _tool("export", "--run", given / "tiny", "--out", out, "--precisions", "float16", "--no-parity"), _answers
    ),
    "predict": Program(
        lambda given, out: [sys.executable, "-m", "hiu_tf.cli", "predict", str(given / "pictures"), "--out", str(out), "--model", str(given / "tiny.tflite"), "--box", "5,5,50,45"],
        _files("*.png", "*.json", "*.obj"),
    ),
    "clip": Program(
        lambda given, out: [sys.executable, "-m", "hiu_tf.cli", "predict", str(given / "clip.mp4"), "--out", str(out), "--model", str(given / "tiny.tflite"), "--box", "5,5,50,45", "--min-score", "0"],
        _files("*.jsonl"),
    ),
    "fit": Program(
        lambda given, out: _tool("fit_hands", given / "synthetic", "--out", out, "--sheet", 4), _files("*.tfrecord", "index.json", "fits.csv")
    ),
}  # fmt: skip


def make_inputs(given: Path, model: Path | None = None) -> None:
    """Makes records, pictures, a clip and a small model (or copies its files, as of the fixture `exported_once`)."""
    import cv2

    from hiu_tf.programs.prepare import prepare
    from tests.faults.material import scene
    from tests.faults.run import make

    for split in ("train", "val"):
        prepare("synthetic", "8", split, str(given / "synthetic"), parts=2)
    if model:
        shutil.copytree(model, given / "tiny")
        shutil.copy(model / "tiny.tflite", given)
    else:
        make(given)
    (given / "pictures").mkdir()
    for number in range(8):
        cv2.imwrite(str(given / "pictures" / f"{number}.png"), np.roll(scene(), 5 * number, axis=1))
    writer = cv2.VideoWriter(str(given / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 5, (80, 60))
    for number in range(12):
        writer.write(np.roll(scene(), 2 * number, axis=1))
    writer.release()


def check(name: str, given: Path, folder: Path, count: int, seed: int) -> tuple[Counter, list[str]]:
    """Kills one program `count` times. Returns how often it was killed before its end, and all errors."""
    program, rng, found, wrong = PROGRAMS[name], np.random.default_rng([seed, *name.encode()]), Counter(), []
    start = time.time()
    _finish(program.command(given, folder / "whole"))
    lasts, expected = time.time() - start, program.results(folder / "whole")
    for number in range(count):
        out, kind = folder / "killed", SIGNALS[number % len(SIGNALS)]
        process = subprocess.Popen(
            program.command(given, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, env=_quiet(), preexec_fn=_heard
        )  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, 1.1 * lasts))
        running = process.poll() is None
        process.send_signal(kind)
        say = lambda text, number=number, kind=kind: wrong.append(f"{name} {number} {kind.name}: {text}")
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            say("it, or a child that holds its standard error, lives on")
            os.killpg(process.pid, signal.SIGKILL)
        found["killed" if running else "ended before"] += 1
        _wait_for_group(process.pid, say)
        for file, content in (program.results(out) if out.exists() else {}).items():
            if file not in expected or (content != expected[file] and not file.endswith("index.json")):
                say(f"{file} is there and not whole")
        _finish(program.command(given, out), say)
        results = program.results(out)
        if results != expected:
            names = sorted({k for k in {*results, *expected} if results.get(k) != expected.get(k)})
            say(f"after another start these differ: {names}")
        left = [path.name for path in out.rglob("*") if path.name.startswith("partial-") or path.suffix == ".lock"]
        if left:
            say(f"left behind: {left}")
        shutil.rmtree(out)
    return found, wrong


def _heard():
    """A child of a shell's background job would inherit that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _quiet():
    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}


def _finish(command, say=None):
    done = subprocess.run(command, capture_output=True, text=True, timeout=_MOST_S, check=False, env=_quiet())
    if done.returncode:
        message = f"exit code {done.returncode}: {done.stderr[-500:]}"
        if say is None:
            raise RuntimeError(message)
        say(message)


def _wait_for_group(group, say):
    """Checks that all processes of the killed run end within a short time."""
    deadline = time.time() + 10
    while time.time() < deadline:
        alive = [p for p in Path("/proc").iterdir() if p.name.isdecimal() and _group_of(p) == group]
        if not alive:
            return
        time.sleep(0.1)
    say(f"orphans: {[p.name for p in alive]}")


def _group_of(process):
    try:
        fields = (process / "stat").read_text().rpartition(") ")[2].split()
        return None if fields[0] == "Z" else int(fields[2])
    except OSError:
        return None


def run(names: list[str], count: int, seed: int) -> tuple[dict[str, Counter], list[str]]:
    """Kills all programs. Returns {program: summary} and all errors."""
    counts, wrong = {}, []
    with tempfile.TemporaryDirectory(prefix="hiu-kills-") as scratch:
        given = Path(scratch) / "given"
        given.mkdir()
        make_inputs(given)
        for name in names:
            folder = Path(scratch) / name
            folder.mkdir()
            counts[name], found = check(name, given, folder, count, seed)
            wrong += found
    return counts, wrong


def main() -> int:
    """Runs the program. Returns 1 if there are errors."""
    import hiu_tf  # noqa: F401  (before tensorflow: selects tf_keras)

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="kills a program (default 50)")
    parser.add_argument("--programs", default=",".join(PROGRAMS), help="comma-separated (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    counts, wrong = run(args.programs.split(","), args.count, args.seed)
    print("| program | killed at work | had ended before | wrong |\n|---|---|---|---|")
    for name, found in counts.items():
        bad = sum(line.startswith(f"{name} ") for line in wrong)
        print(f"| {name} | {found['killed']} | {found['ended before']} | {bad} |")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
