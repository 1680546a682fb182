"""Parses the values of the commands' options."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from hiu_tf.errors import UserError

#: Equal to the limit in pictures.py, which is not imported here so that `hiu --help` stays fast.
MOST_MEGAPIXELS = 120.0
_LARGEST_K = 1e6


def count_of_hands(text: str) -> int:
    """Parses a number of hands, 1 to 100."""
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"takes a whole number from 1 to 100, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """Parses a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"takes a whole number above 0, got {text!r}")
    return int(text)


def whole(text: str) -> int:
    """Parses a whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"takes a whole number, 0 or more, got {text!r}")
    return int(text)


def port(text: str) -> int:
    """Parses the number of a port; 0 is any free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"takes a port from 0 (any free one) to 65535, got {text!r}")
    return int(text)


def target(text: str) -> Path:
    """Parses the name of a file to write and makes its folder: a wrong name ends a command before its work, not after."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"takes the name of a file, and {text} is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot make the folder of {text}: {error.strerror}") from error
    return path


def names(text: str) -> list[str]:
    """Parses distinct comma-separated names."""
    found = [name.strip() for name in text.split(",")]
    if not all(found) or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"takes different names with commas between them, got {text!r}")
    return found


def formats(text: str) -> tuple[str, ...]:
    """Parses the names of formats. Returns their suffixes."""
    from hiu_tf.runtime.results import FORMATS

    given = tuple(f".{part.strip().lower()}" for part in text.split(","))
    unknown = [suffix[1:] for suffix in given if suffix not in FORMATS]
    if unknown:
        known = ", ".join(suffix[1:] for suffix in FORMATS)
        raise argparse.ArgumentTypeError(f"takes {known} with commas between them, got {unknown[0]!r}")
    return given


def share(text: str) -> float:
    """Parses a number from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"takes a number from 0 to 1, got {text!r}")
    return value


def amount(text: str) -> float:
    """Parses a finite number above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"takes a number above 0, got {text!r}")
    return value


def _number(text):
    """A number, NaN where the text is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def threads(text: str) -> int:
    """Parses a number of threads and limits it to the number of cores."""
    from hiu_tf.runtime.backend import cores

    wanted = positive(text)
    if wanted > cores():
        print(f"this machine has {cores()} cores for {wanted} threads: {cores()} are taken", file=sys.stderr)
    return min(wanted, cores())


def whole_numbers(text: str, option: str) -> list[int]:
    """Parses comma-separated whole numbers above 0; `option` names the option in the error."""
    counts = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if min(counts) < 1:
        raise UserError(f"{option} takes whole numbers above 0 with commas between them, got {text!r}")
    return counts


def numbers(text: str | None, count: int, option: str) -> list[float] | None:
    """Parses `count` comma-separated numbers; `option` names the option in the error. None stays None."""
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise UserError(f"{option} takes {count} numbers with commas between them, got {text!r}")
    return values


def intrinsics(text: str | None) -> list[list[float]] | None:
    """Parses fx,fy,cx,cy to K [3, 3]. None stays None."""
    values = numbers(text, 4, "--K")
    if values is None:
        return None
    fx, fy, cx, cy = values
    if not all(map(math.isfinite, values)) or min(fx, fy) < 1 or max(map(abs, values)) > _LARGEST_K:
        raise UserError(f"--K takes focal lengths from 1 pixel and a centre, at most {_LARGEST_K:g}, got {text!r}")
    return [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
