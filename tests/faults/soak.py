"""Predicts many pictures and a long clip with one Predictor in four threads: memory and predictions must not change.

    python -m tests.faults.soak --pictures 3000 --minutes 10

A line is fitted to the resident memory after each tenth of the work; its slope is given per 1,000 pictures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np

_THREADS, _DIFFERENT, _RATE = 4, 12, 25
#: Limit of the slope in MB per thousand pictures; less is noise of the allocator.
MOST_SLOPE = 1.0


def resident_mb() -> float:
    """Resident memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def slope(memory: list[float], pictures: int) -> float:
    """Slope in MB per thousand pictures, without the first tenth (in which lazy loading happens)."""
    places = np.linspace(0, pictures, len(memory))[1:]
    return 1000 * float(np.polyfit(places, memory[1:], 1)[0])


def soak_pictures(model: Path, count: int) -> tuple[float, int]:
    """(slope of memory, number of predictions that differ from those of one thread)."""
    from hiu_tf.runtime.predictor import Predictor

    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (96 + 8 * k, 128, 3), dtype=np.uint8) for k in range(_DIFFERENT)]
    predict = lambda predictor, k: predictor.predict(pictures[k], (20, 20, 60, 60), ("right", "left")[k % 2])[0]
    expected = [predict(Predictor(model, 1), k) for k in range(_DIFFERENT)]
    shared, memory, different = Predictor(model, 1), [], 0

    def one(number):
        found, wanted = predict(shared, number % _DIFFERENT), expected[number % _DIFFERENT]
        return not all(np.array_equal(getattr(found, n), getattr(wanted, n)) for n in ("joints_2d", "vertices", "mask"))

    with ThreadPoolExecutor(_THREADS) as pool:
        for part in np.array_split(np.arange(count), 10):
            different += sum(pool.map(one, part))
            memory.append(resident_mb())
    return slope(memory, count), different


def soak_clip(model: Path, minutes: float) -> tuple[float, int]:
    """(slope of memory per thousand frames of a clip, number of frames written)."""
    import cv2

    from hiu_tf.runtime import files
    from hiu_tf.runtime.predictor import Predictor
    from hiu_tf.runtime.tracker import Tracker
    from tests.faults.material import scene

    with tempfile.TemporaryDirectory() as folder:
        path, frames = Path(folder) / "clip.mp4", int(60 * _RATE * minutes)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), _RATE, (80, 60))
        for number in range(frames):
            writer.write(np.roll(scene(), number, axis=1))
        writer.release()
        memory, seen, follow = [], [], Tracker.__call__

        def watched(tracker, picture):
            if len(memory) * frames // 10 <= len(seen):
                memory.append(resident_mb())
            seen.append(len(found := follow(tracker, picture)))
            return found

        with patch.object(Tracker, "__call__", watched):
            files.predict_clip(Predictor(model, 1), path, Path(folder) / "out", box=(10, 10, 40, 40), min_score=0.0)
        return slope(memory, frames), len(seen)


def main() -> int:
    """Runs the program. Returns 1 if memory grows or predictions differ."""
    import hiu_tf  # noqa: F401  (before tensorflow: selects tf_keras)
    from hiu_tf.runtime.shipped import shipped_model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the clip, at 25 frames a second")
    args = parser.parse_args()
    growth, different = soak_pictures(shipped_model(), args.pictures)
    print(f"{args.pictures} pictures, {_THREADS} threads: {growth:+.2f} MB a thousand, {different} answers differ")
    clip_growth, frames = soak_clip(shipped_model(), args.minutes)
    print(f"{args.minutes:g} minutes of clip: {frames} frames, {clip_growth:+.2f} MB a thousand")
    return 1 if different or max(growth, clip_growth) > MOST_SLOPE else 0


if __name__ == "__main__":
    sys.exit(main())
