"""Files and folders that are either whole or not there."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiu_tf.errors import UserError

#: How the name of a scratch path starts. A killed process leaves it behind.
PARTIAL = "partial-"
_LOCK = "being-written.lock"
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


@contextmanager
def scratch_folder(folder: str | Path) -> Iterator[Path]:
    """A folder inside another for what is not yet good; gone when the block ends."""
    scratch = Path(folder) / f"{PARTIAL}{_HOST}-{os.getpid()}-folder"
    scratch.mkdir(parents=True)
    try:
        yield scratch
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


@contextmanager
def locked(folder: Path, program: str) -> Iterator[None]:
    """Keeps a second program from writing into a folder at the same time, and clears what killed ones left there.

    Raises:
      UserError: another process of this machine is at work there.
    """
    lock = folder / _LOCK
    while True:
        try:
            with open(lock, "x") as file:
                file.write(f"{_HOST} {os.getpid()}")
            break
        except FileExistsError:
            host, _, process = _text(lock).partition(" ")
            if host == _HOST and process.isdecimal() and not _is_running(int(process)):
                lock.unlink(missing_ok=True)  # of a process that was killed
                continue
            raise UserError(
                f"{folder} is being written by another {program} ({host} {process}): wait for it, or give another folder "
                f"(if nothing runs there, remove {lock})"
            ) from None
    try:
        clear_leftovers(folder)
        yield
    finally:
        lock.unlink(missing_ok=True)


def _text(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def _is_running(process):
    if os.name == "nt":  # os.kill would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    # A process that has ended and that nobody has asked for its result is still listed, as a zombie.
    status = _text(Path(f"/proc/{process}/stat"))
    return status.rpartition(") ")[2][:1] != "Z"


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
