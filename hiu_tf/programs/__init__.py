"""Programs for making a model: each runs as `hiu NAME`, and as `python tools/NAME.py` in a checkout.

Only this package imports both `pipelines` and the library.
"""

import importlib
import sys


def run(name: str) -> None:
    """Runs the program's main() with the command line's arguments and exits with its exit code."""
    from hiu_tf.programs._program import program

    sys.exit(program(importlib.import_module(f"hiu_tf.programs.{name}").main))
