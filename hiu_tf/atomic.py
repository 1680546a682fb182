"""Atomic writes: a file or folder is either complete or absent."""

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
#: What this process has begun and not ended. After a restart a container has the same host and process number as before.
_OWN: set[Path] = set()
_NAME = re.compile(re.escape(f"{PARTIAL}{_HOST}-") + r"(\d+)-")


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yields a scratch path beside `path`. Renames it to `path` if the block succeeds, else removes it.

        with written_whole(target) as scratch:
            scratch.write_text(text)

    The scratch path keeps the suffix of `path`, because many writers choose a format by it. It may become
    a file or a folder. An existing file at `path` is replaced, an existing folder is not.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"the folder {path.parent} does not exist: make it first, or give another name")
    scratch = path.with_name(f"{PARTIAL}{_HOST}-{os.getpid()}-{path.name}")
    with _begun(scratch):
        yield scratch
        if path.is_dir() and not scratch.is_dir():
            raise UserError(f"{path} is a folder: give the name of a file")
        os.replace(scratch, path)


@contextmanager
def scratch_folder(folder: str | Path) -> Iterator[Path]:
    """Yields a temporary folder inside `folder` for unfinished files. Removes it when the block ends."""
    scratch = Path(folder) / f"{PARTIAL}{_HOST}-{os.getpid()}-folder"
    with _begun(scratch):
        scratch.mkdir(parents=True)
        yield scratch


@contextmanager
def _begun(scratch):
    place = scratch.resolve()
    if place not in _OWN:
        _remove(scratch)  # a killed process with the same number left it
    _OWN.add(place)
    try:
        yield
    finally:
        _remove(scratch)
        _OWN.discard(place)


def clear_leftovers(folder: str | Path) -> list[Path]:
    """Removes scratch paths of processes of this machine that no longer run. Returns the removed paths."""
    removed = []
    for path in Path(folder).glob(f"{PARTIAL}*"):
        match = _NAME.match(path.name)
        if match and not _is_running(int(match[1]), path):
            _remove(path)
            removed.append(path)
    return removed


@contextmanager
def locked(folder: Path, program: str) -> Iterator[None]:
    """Locks a folder against a second writing program, and clears what killed programs left there.

    Raises:
      UserError: another process is writing there.
    """
    lock = folder / _LOCK
    while True:
        try:
            with open(lock, "x") as file:
                file.write(f"{_HOST} {os.getpid()}")
            _OWN.add(lock.resolve())
            break
        except FileExistsError:
            host, _, process = _text(lock).partition(" ")
            if host == _HOST and process.isdecimal() and not _is_running(int(process), lock):
                lock.unlink(missing_ok=True)  # the lock of a killed process
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
        _OWN.discard(lock.resolve())


def _text(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def _is_running(process, path):
    """Whether the process that has begun `path` still runs."""
    if process == os.getpid():
        return path.resolve() in _OWN
    if os.name == "nt":  # on Windows os.kill would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    # An ended process whose parent has not collected its exit status is still listed, as a zombie.
    status = _text(Path(f"/proc/{process}/stat"))
    return status.rpartition(") ")[2][:1] != "Z"


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
