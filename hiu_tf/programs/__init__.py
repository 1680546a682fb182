"""Programs for people who make a model: each `hiu NAME`, and `python tools/NAME.py` in a checkout.

The only place that joins `pipelines` to the library.
"""

import importlib
import sys


def run(name: str) -> None:
    """Runs the program's main() with the arguments of the command line, and ends the process with its exit code."""
    from hiu_tf.programs._program import program

    sys.exit(program(importlib.import_module(f"hiu_tf.programs.{name}").main))
