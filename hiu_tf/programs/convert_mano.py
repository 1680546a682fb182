"""Converts MANO v1.2 (MANO_RIGHT.pkl, MANO_LEFT.pkl) to an .npz that hiu-tf trains and exports with.

    hiu convert-mano mano_v1_2/models/MANO_RIGHT.pkl --out mano_right.npz
    hiu train --set hand=mano_right.npz ...

It needs neither chumpy nor a licence server, and executes no code from the file. Get the file at
mano.is.tue.mpg.de. The file and everything made from it are for non-commercial research and may not be passed on.
"""

import argparse
import sys
from pathlib import Path

from hiu_tf.conventions.skeleton import MANO_TIP_VERTICES
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="MANO_RIGHT.pkl or MANO_LEFT.pkl")
    parser.add_argument("--out", required=True, help="the .npz to write")
    parser.add_argument(
        "--tips",
        default="freihand",
        choices=sorted(MANO_TIP_VERTICES),
        help="whose fingertip vertices (default freihand); they differ by 2-5 mm: take those of your labels",
    )
    parser.add_argument(
        "--right",
        help="MANO_RIGHT.pkl, to judge the sign error of a left file (default: the one beside it, if there)",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from hiu_tf.hand.mano import read_mano
    from hiu_tf.hand.model import save_hand_model

    if not Path(args.file).is_file():
        raise UserError(f"{args.file} is no file: give MANO_RIGHT.pkl or MANO_LEFT.pkl")
    beside = Path(args.file).with_name("MANO_RIGHT.pkl")
    right = args.right or (beside if beside.exists() and beside != Path(args.file) else None)
    model, notes = read_mano(args.file, args.tips, right)
    save_hand_model(args.out, model)
    for note in notes:
        print(f"note: {note}")
    print(f"{args.out}: {model.name}, {len(model.vertices)} vertices. {model.licence}")
    print(f"next: hiu train --set hand={args.out} --recipe ...")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
