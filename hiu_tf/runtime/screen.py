"""A window on the screen that shows pictures and the frames of clips. OpenCV."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from hiu_tf.errors import UserError

_TITLE = "hiu"
#: Keys that close the window: q and Esc.
_CLOSING = (ord("q"), 27)
#: What OpenCV returns where no key was pressed.
_NO_KEY = -1
#: Milliseconds between two looks for a key or a closed window while a picture is shown.
_TICK = 50
#: OpenCV aborts the whole process where there is no screen: another process tries first.
_TRIAL = f"import cv2; cv2.namedWindow({_TITLE!r}); cv2.waitKey(1); cv2.destroyAllWindows()"


class Screen:
    """An open window. It is closed by q, Esc or its own button.

    Attributes:
      is_open: whether it has not been closed yet.
    """

    def __init__(self):
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self.is_open, self._size = True, None

    def frame(self, drawn: np.ndarray) -> bool:
        """Shows a frame [H, W, 3] uint8 RGB at once. Returns `is_open`."""
        self._show(drawn)
        self._key_within(1)
        return self.is_open

    def picture(self, drawn: np.ndarray) -> None:
        """Shows a picture [H, W, 3] uint8 RGB until a key is pressed or the window is closed."""
        self._show(drawn)
        while self._key_within(_TICK) == _NO_KEY and self.is_open:
            pass

    def _show(self, drawn):
        if drawn.shape != self._size:
            self._size = drawn.shape
            cv2.resizeWindow(_TITLE, drawn.shape[1], drawn.shape[0])
        cv2.imshow(_TITLE, np.ascontiguousarray(drawn[..., ::-1]))

    def _key_within(self, milliseconds):
        key = cv2.waitKey(milliseconds)
        if key in _CLOSING or cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
            self.is_open = False
            cv2.destroyAllWindows()
        return key


@contextmanager
def opened_screen() -> Iterator[Screen]:
    """Opens a window.

    Raises:
      UserError: there is no screen, or the installed OpenCV has no windows.
    """
    tried = subprocess.run([sys.executable, "-c", _TRIAL], capture_output=True, check=False)
    if tried.returncode:
        raise UserError(
            "--show needs a screen, and an OpenCV with windows (opencv-python, not opencv-python-headless): none can be "
            "opened here. Without --show the results are written all the same"
        )
    try:
        yield Screen()
    finally:
        cv2.destroyAllWindows()
