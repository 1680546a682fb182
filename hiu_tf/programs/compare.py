"""Puts several training runs on one page: last and best validation, differing settings, curves.

    hiu compare runs/first runs/second --out comparison.html

Runs may still be going. To measure finished runs against each other on records, with intervals: hiu evaluate --compare.
"""

import argparse
import sys
from pathlib import Path

from hiu_tf.commands.values import target
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="hiu compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", help="folders of runs")
    parser.add_argument("--out", type=target, default="comparison.html", help="the page (default %(default)s)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Entry point."""
    args = parse_args(argv)
    from hiu_tf.training.comparison import write_comparison

    if len(args.runs) < 2:
        raise UserError("give two runs or more: hiu compare runs/first runs/second")
    write_comparison([Path(run) for run in args.runs], args.out)
    print(f"{len(args.runs)} runs -> {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
