"""Files and folders that are either whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: How the name of a scratch path starts. A killed process leaves it behind.
PARTIAL = "partial-"


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Gives a scratch path beside `path` and renames it when the block ends well; else removes it.

        with written_whole(target) as scratch:
            scratch.write_text(text)

    The scratch path has the suffix of `path`, which many writers look at. It may become a file or a
    folder; an old file at `path` is replaced, an old folder is not.
    """
    path = Path(path)
    scratch = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        if scratch.is_dir():
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            scratch.unlink(missing_ok=True)
