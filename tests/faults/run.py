"""Processes damaged inputs by every door (doors.py), in separate processes, and counts the outcomes.

python -m tests.faults.run --count 2000
python -m tests.faults.run --count 200 --doors picture,tflite --seed 7
python -m tests.faults.run --doors picture --seed 7 --only 123 --debug
"""

from __future__ import annotations

import argparse
import io
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from tests.places import REPOSITORY

OUTCOMES = ("good", "clean error", "traceback", "hang", "crash", "wrong")
FAULTS = OUTCOMES[2:]
_HANG_S = 60


def run(doors: list[str], count: int, seed: int, model: Path | None = None) -> tuple[dict[str, Counter], list[str]]:
    """Runs the doors. Returns {door: number of each outcome}, and a line for each fault.

    Args:
      model: folder with the small model's files, as `make` writes them; None: they are made.
    """
    with tempfile.TemporaryDirectory(prefix="hiu-faults-") as scratch:
        if model:
            shutil.copytree(model, Path(scratch) / "tiny")
            (Path(scratch) / "tiny" / "tiny.tflite").rename(Path(scratch) / "tiny.tflite")
        else:
            make = [sys.executable, "-m", "tests.faults.run", "--make", scratch]
            subprocess.run(make, check=True, env=_quiet(), cwd=REPOSITORY)
        counts, faults = {name: Counter() for name in doors}, []
        todo = [(name, 0) for name in doors]
        while todo:
            todo = _drain(todo, count, seed, scratch, counts, faults)
    return counts, faults


def table(counts: dict[str, Counter]) -> str:
    """Formats the counts as a Markdown table."""
    lines = ["| door | " + " | ".join(OUTCOMES) + " |", "|" + "---|" * (1 + len(OUTCOMES))]
    rows = [(name, found) for name, found in counts.items()] + [("all", sum(counts.values(), Counter()))]
    return "\n".join(
        lines + [f"| {name} | " + " | ".join(str(found[o]) for o in OUTCOMES) + " |" for name, found in rows]
    )


def _drain(todo, count, seed, scratch, counts, faults):
    """Runs the list in one process until it ends, hangs or crashes. Returns the rest of the list."""
    command = [sys.executable, "-m", "tests.faults.run", "--work", scratch, "--seed", str(seed), "--count", str(count)]
    process = subprocess.Popen(
        [*command, json.dumps(todo)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=_quiet(),
        cwd=REPOSITORY,
    )
    lines = queue.Queue()
    reader = threading.Thread(target=_pass_on, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        place, hangs = _follow(lines, list(todo[0]), counts, faults)
    finally:
        process.kill()  # no effect if it has ended
        reader.join()
        process.stdout.close()
        process.wait()
    if hangs:
        return _skip(todo, place, "hang", counts, faults)
    return [] if place is None else _skip(todo, place, "crash", counts, faults)


def _follow(lines, place, counts, faults):
    """Counts outcomes until the process ends. Returns its position (None: end of the list) and whether it hangs."""
    while True:
        try:
            line = lines.get(timeout=_HANG_S)
        except queue.Empty:
            return place, True
        if line is None:
            return place, False
        found = json.loads(line) if line.startswith("{") else {}
        if "start" in found:
            place = [found["door"], found["start"]]
        elif "outcome" in found:
            counts[found["door"]][found["outcome"]] += 1
            if found["outcome"] in FAULTS:
                faults.append(f"{found['door']} {found['number']} {found['outcome']}: {found['words']}")
        elif "end" in found:
            place = None


def _pass_on(stream, lines):
    for line in stream:
        lines.put(line)
    lines.put(None)


def _skip(todo, place, outcome, counts, faults):
    """The rest of the list after the attempt that ended a process."""
    name, number = place
    counts[name][outcome] += 1
    faults.append(f"{name} {number} {outcome}")
    names = [door for door, _ in todo]
    return [(name, number + 1), *((door, 0) for door in names[names.index(name) + 1 :])]


def _quiet():
    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "OPENCV_LOG_LEVEL": "OFF", "OPENCV_FFMPEG_LOGLEVEL": "-8"}


def work(todo, count: int, seed: int, scratch: str, only: int | None = None, debug: bool = False) -> None:
    """Runs in the process: does the attempts and prints a line of JSON before and after each."""
    import numpy as np

    import hiu_tf  # noqa: F401  (before tensorflow: selects tf_keras)
    from hiu_tf.errors import UserError
    from tests.faults import mutators
    from tests.faults.answers import Wrong
    from tests.faults.doors import DOORS

    def say(**words):
        print(json.dumps(words), file=out, flush=True)

    out, sys.stdout = sys.stdout, io.StringIO()
    for name, first in todo:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=scratch))
        door = DOORS[name](folder)
        attempt = next(door)
        for number in range(first or -1, count) if only is None else [only]:
            say(door=name, start=number)
            words, outcome = "", "good"
            mutators.damages = number >= 0  # the first input is undamaged
            try:
                attempt(np.random.default_rng([seed, number + 1, *name.encode()]))
            except UserError as error:
                words, outcome = str(error), "clean error"
            except OSError as error:
                outcome, words = "clean error", str(error)
            except Wrong as error:
                outcome, words = "wrong", str(error)
            except BaseException as error:
                outcome, words = "traceback", f"{type(error).__name__}: {error}"
                if debug:
                    raise
            if number < 0 and outcome != "good":
                outcome, words = "wrong", f"what is whole is refused: {words}"
            say(door=name, number=number, outcome=outcome, words=words[-400:])
        next(door, None)
    say(end=True)


def make(scratch: Path) -> None:
    """Makes the small model that the doors share."""
    import tf_keras as keras

    from hiu_tf.config.presets import model_config
    from hiu_tf.exporting.card import model_card
    from hiu_tf.exporting.module import HIUModule
    from hiu_tf.exporting.saved_model import export_saved_model
    from hiu_tf.exporting.tflite import export_tflite
    from hiu_tf.hand.procedural import procedural_hand
    from hiu_tf.models.hiu import build_hiu

    keras.utils.set_random_seed(3)
    module = HIUModule(build_hiu(model_config("tiny")), procedural_hand())
    card = model_card("tiny", module.size, module.hand, None)
    export_tflite(module, scratch / "tiny.tflite", "float32", card=card)
    export_saved_model(module, scratch / "tiny", card)


def main() -> int:
    """Runs the program. Returns 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="damaged inputs a door (default 50)")
    parser.add_argument("--doors", help="comma-separated (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one attempt of one door, in this process")
    parser.add_argument("--debug", action="store_true", help="with --only: show the traceback")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("todo", nargs="?", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        import hiu_tf  # noqa: F401

        make(Path(args.make))
        return 0
    if args.work:
        work(json.loads(args.todo), args.count, args.seed, args.work)
        return 0
    from tests.faults.doors import DOORS

    doors = args.doors.split(",") if args.doors else list(DOORS)
    if args.only is not None:
        import hiu_tf  # noqa: F401

        with tempfile.TemporaryDirectory(prefix="hiu-faults-") as scratch:
            make(Path(scratch))
            work([(doors[0], 0)], 0, args.seed, scratch, args.only, args.debug)
        return 0
    counts, faults = run(doors, args.count, args.seed)
    print(table(counts))
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
