"""Files and folders that are either whole or not there."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: How the name of a scratch path starts. A killed process leaves it behind.
PARTIAL = "partial-"
_HOST = re.sub(r"[^A-Za-z0-9.]", "_", platform.node())
_NAME = re.compile(re.escape(f"{PARTIAL}{_HOST}-") + r"(\d+)-")


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Gives a scratch path beside `path` and renames it when the block ends well; else removes it.

        with written_whole(target) as scratch:
            scratch.write_text(text)

    The scratch path has the suffix of `path`, which many writers look at. It may become a file or a
    folder; an old file at `path` is replaced, an old folder is not.
    """
    path = Path(path)
    scratch = path.with_name(f"{PARTIAL}{_HOST}-{os.getpid()}-{path.name}")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        _remove(scratch)


def clear_leftovers(folder: str | Path) -> list[Path]:
    """Removes scratch paths in a folder whose process, of this machine, is gone. Returns what was removed."""
    removed = []
    for path in Path(folder).glob(f"{PARTIAL}*"):
        match = _NAME.match(path.name)
        if match and not _is_running(int(match[1])):
            _remove(path)
            removed.append(path)
    return removed


def _is_running(process):
    if os.name == "nt":  # os.kill would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
