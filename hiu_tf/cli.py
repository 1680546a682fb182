"""`hiu`: one command for all of it.

Use a model:

    hiu predict photo.jpg --out predictions
    hiu predict photos/ clip.mp4 --out predictions --side left
    hiu predict 0 rtsp://camera.local/stream --out predictions --seconds 30
    hiu info
    hiu info --presets
    hiu info --preset hiu_1stack --set encoder_repetitions=[3,4,6,3]
    hiu info --recipe pipelines/recipes/table2_quantitative.yaml --devices 8
    hiu benchmark savedmodels/hiu_mobile/*.tflite --threads 1,2
    hiu page --out site --serve

Each picture gives NAME.png (picture, skeletons, masks, meshes), NAME.json (all outputs of every hand, with
units) and NAME.obj (the posed meshes), or the formats of --format; a clip gives NAME.mp4 and NAME.jsonl, a line for
each frame. With glb among the formats a picture gives NAME.glb (textured meshes with skeletons), a clip
NAME_hand_N.glb, the movement of each hand.
"""

import argparse
import difflib
import importlib
import sys

import hiu_tf
from hiu_tf.commands.benchmark import add_benchmark, run_benchmark
from hiu_tf.commands.info import add_info, run_info
from hiu_tf.commands.page import add_page, run_page
from hiu_tf.commands.predict import add_predict, run_predict
from hiu_tf.errors import UserError, missing_extra

#: Commands for making a model: name -> (module in hiu_tf/programs, purpose). They need hiu-tf[train].
PROGRAMS = {
    "prepare": ("prepare", "write a data set's records"),
    "material": ("material", "make all records of the shipped recipe from your photographs"),
    "train": ("train", "train a network by a recipe"),
    "evaluate": ("evaluate", "measure networks, exported models or predictions"),
    "compare": ("compare", "put the curves and metrics of several trainings on one page"),
    "export": ("export", "write a SavedModel, TFLite and ONNX files"),
    "serve": ("serve", "start a TF Serving server with an exported model"),
    "fit": ("fit_hands", "fit the hand model to labelled photographs"),
    "detector": ("detector", "train, measure and export the network that finds hands"),
    "launch": ("launch", "train with several workers on this machine"),
    "cluster": ("cluster", "write a SLURM script or a Kubernetes manifest for several machines"),
    "input-service": ("input_service", "read and augment data on other machines"),
    "ablate": ("ablate", "train and compare the arms of a grid"),
    "average": ("average", "average the weights of finished runs"),
    "label": ("label", "label hands where several looks of a model agree"),
    "gestures": ("gestures", "compare named gestures with labels"),
    "completion": ("completion", "print a script that completes commands and options in your shell"),
    "mesh": ("hand_mesh", "write a hand's mesh as GLB, PLY, OBJ"),
    "convert-mano": ("convert_mano", "turn MANO's files into ours"),
    "demo": ("demo", "everything once, small"),
}


def parse_args(argv):
    """Parses the command line."""
    programs = "\n".join(f"    hiu {name:<14} {words}" for name, (_, words) in PROGRAMS.items())
    description = f"{__doc__}\nMake a model (pip install 'hiu-tf[train]'; each has its own --help):\n\n{programs}"
    parser = argparse.ArgumentParser(
        prog="hiu", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"hiu-tf {hiu_tf.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for add, _ in COMMANDS.values():
        add(commands)
    return parser.parse_args(argv)


def _run_program(name, argv) -> int:
    """Runs a command of PROGRAMS with the arguments that follow its name."""
    before, sys.argv = sys.argv, [f"hiu {name}", *argv]
    try:
        from hiu_tf.programs._program import program

        return program(lambda: importlib.import_module(f"hiu_tf.programs.{PROGRAMS[name][0]}").main(argv))
    except ImportError as error:
        return _name_missing_extra(name, error, "--debug" in argv)
    finally:
        sys.argv = before


def _name_missing_extra(command, error, debug):
    """Prints what to install for a command. Raises the error if it has another cause."""
    words = missing_extra(error)
    if words is None or debug:
        raise error
    print(f"error: hiu {command} {words}", file=sys.stderr)
    return 1


def _unknown_command(name):
    known = [*COMMANDS, *PROGRAMS]
    close = difflib.get_close_matches(name.lower(), known, n=2)
    words = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
    print(f"error: there is no command {name!r}: {words}", file=sys.stderr)
    return 2


def main(argv=None) -> int:
    """Entry point. Returns the exit code: 0 success, 1 failure, 2 bad usage."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv and not argv[0].startswith("-") and argv[0] not in {**COMMANDS, **PROGRAMS}:
        return _unknown_command(argv[0])
    if argv and argv[0] in PROGRAMS:
        return _run_program(argv[0], argv[1:])
    args = parse_args(argv)
    for stream in (sys.stdout, sys.stderr):  # file names may hold characters that the terminal cannot show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return COMMANDS[args.command][1](args)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    except ImportError as error:
        return _name_missing_extra(args.command, error, args.debug)
    except (UserError, OSError) as error:
        if args.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


#: Commands for using a model: name -> (adds its arguments, runs it).
COMMANDS = {
    "predict": (add_predict, run_predict),
    "info": (add_info, run_info),
    "benchmark": (add_benchmark, run_benchmark),
    "page": (add_page, run_page),
}

if __name__ == "__main__":
    sys.exit(main())
