"""What all programs share: a user's mistake ends in one clear line and an exit code, not a traceback."""

import argparse
import os
import sys
import threading
import time

from hiu_tf.errors import UserError

_WATCH_S = 0.5


def positive(text: str) -> int:
    """An argparse type: a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"takes a whole number above 0, got {text!r}")
    return int(text)


def whole(text: str) -> int:
    """An argparse type: a whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"takes a whole number, 0 or more, got {text!r}")
    return int(text)


def names(text: str) -> list[str]:
    """An argparse type: different names with commas between them."""
    found = [name.strip() for name in text.split(",")]
    if not all(found) or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"takes different names with commas between them, got {text!r}")
    return found


def program(main) -> int:
    """Runs main(); 0 is success, 1 a failure that the user can mend, 2 (argparse) bad usage, 75 worth another try."""
    try:
        return main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    except Exception as error:
        if "--debug" in sys.argv or not (isinstance(error, (UserError, OSError)) or _is_full(error)):
            raise
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)


def end_with_parent() -> None:
    """Ends this process when its parent is gone: a killed program leaves no workers behind."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_full(error):
    """TensorFlow says in its own errors that a disk is full or that nothing may be written there."""
    words = str(error).lower()
    return any(text in words for text in ("no space left", "file too large", "read-only file system", "disk quota"))
