"""Shared by all programs: errors of users as one clear line and an exit code, not a traceback."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hiu_tf.errors import UserError

_WATCH_S = 0.5


def program(main) -> int:
    """Runs main(). Exit codes: 0 success, 1 an error that the user can fix, 2 bad usage (argparse), 75 try again, 128 + N ended by signal N."""
    try:
        return main()
    except KeyboardInterrupt as ended:
        print(str(ended) or "interrupted", file=sys.stderr)
        return getattr(ended, "exit_code", 1)
    except Exception as error:
        if "--debug" in sys.argv or not (isinstance(error, (UserError, OSError)) or _is_full(error)):
            raise
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)


def read_metrics(path: Path, table: Callable[[dict], str]) -> tuple[dict, str]:
    """Reads the JSON of an evaluation. Returns it, and its results as `table` formats them.

    Raises:
      UserError: the file is none, or no JSON of this evaluation.
    """
    try:
        metrics = json.loads(path.read_text())
        return metrics, table(metrics["results"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no JSON of an evaluation of this kind of network: {error!r}") from error


def end_with_parent() -> None:
    """Ends this process when its parent ends, so that a killed program leaves no workers behind."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_full(error):
    """Whether a TensorFlow error means that the disk is full or not writable."""
    words = str(error).lower()
    return any(text in words for text in ("no space left", "file too large", "read-only file system", "disk quota"))
