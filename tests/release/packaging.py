"""What setup.py declares, and the wheel that it makes."""

import subprocess
import sys
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[2]


def setup_arguments() -> dict:
    """The arguments of setup() in setup.py."""
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    with mock.patch("setuptools.setup") as setup:
        exec(compile(text, "setup.py", "exec"), {"__file__": str(ROOT / "setup.py"), "__name__": "setup"})
    return setup.call_args.kwargs


def build_wheel(folder: Path) -> Path:
    """Builds the wheel of this checkout into a folder; the checkout's own build/ may hold files of another day."""
    build = ["build", "--build-base", str(folder / "build"), "bdist_wheel", "--dist-dir", str(folder)]
    subprocess.run([sys.executable, "setup.py", "--quiet", *build], check=True, capture_output=True, cwd=ROOT)
    return next(folder.glob("*.whl"))
