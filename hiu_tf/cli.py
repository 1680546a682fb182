"""`hiu`: one command for all of it.

Use a model:

    hiu predict photo.jpg --out predictions
    hiu predict photos/ clip.mp4 --out predictions --side left
    hiu predict 0 rtsp://camera.local/stream --out predictions --seconds 30
    hiu info
    hiu info --presets
    hiu info --preset hiu_1stack --set encoder_repetitions=[3,4,6,3]
    hiu benchmark savedmodels/hiu_mobile/*.tflite --threads 1,2
    hiu page --out site --serve

Each picture gives NAME.png (picture, skeletons, masks, meshes), NAME.json (all outputs of every hand, with
units) and NAME.obj (the posed meshes), or the formats of --format; a clip gives NAME.mp4 and NAME.jsonl, a line for
each frame. With glb among the formats a picture gives NAME.glb (textured meshes with skeletons), a clip
NAME_hand_N.glb, the movement of each hand.
"""

import argparse
import importlib
import math
import re
import sys
from functools import partial
from pathlib import Path

import hiu_tf
from hiu_tf.atomic import clear_leftovers
from hiu_tf.conventions import SERVER_MODEL
from hiu_tf.errors import UserError, missing_extra
from hiu_tf.web.command import add_page, run_page

#: Equal to the limit in pictures.py, which is not imported here so that `hiu --help` stays fast.
MOST_MEGAPIXELS = 120.0
_LARGEST_K = 1e6

#: Commands for making a model: name -> (module in hiu_tf/programs, purpose). They need hiu-tf[train].
PROGRAMS = {
    "prepare": ("prepare", "write a data set's records"),
    "train": ("train", "train a network by a recipe"),
    "evaluate": ("evaluate", "measure networks, exported models or predictions"),
    "compare": ("compare", "put the curves and metrics of several trainings on one page"),
    "export": ("export", "write a SavedModel, TFLite and ONNX files"),
    "serve": ("serve", "start a TF Serving server with an exported model"),
    "fit": ("fit_hands", "fit the hand model to labelled photographs"),
    "detector": ("detector", "train, measure and export the network that finds hands"),
    "launch": ("launch", "train with several workers on this machine"),
    "input-service": ("input_service", "read and augment data on other machines"),
    "ablate": ("ablate", "train and compare the arms of a grid"),
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


def _add_predict(commands):
    predict = commands.add_parser("predict", help="find and read hands in pictures and clips")
    predict.add_argument(
        "inputs", nargs="+", help="pictures, clips, folders of them; a camera's number; a stream's address"
    )
    predict.add_argument("--out", default="predictions", help="folder for the results (default: predictions)")
    predict.add_argument(
        "--format",
        type=_formats,
        help="of a picture's results, with commas between: png, jpg, json, obj, ply, glb (default: png,json,obj)",
    )
    predict.add_argument("--model", help=".tflite or .onnx file, or SavedModel folder (default: the one that ships)")
    predict.add_argument("--box", help="x,y,w,h of the one hand in pixels (default: find all hands)")
    predict.add_argument("--side", choices=("right", "left"), help="which hand (default: the detector says)")
    predict.add_argument("--max-hands", type=_count_of_hands, default=8, help="of a picture (default %(default)d)")
    predict.add_argument(
        "--thorough", action="store_true", help="look at parts of each picture too, for hands that are small in it"
    )
    predict.add_argument("--K", help="fx,fy,cx,cy in pixels: 3D in the camera's frame")
    predict.add_argument("--min-score", type=float, help="a hand that is found must score it (default: the card's)")
    predict.add_argument("--no-fit", action="store_true", help="leave the mesh where the regressor puts it")
    predict.add_argument(
        "--hand", default="procedural", help="hand model (.npz) that a --model of your own poses (default: procedural)"
    )
    predict.add_argument("--detector", help=".tflite or .onnx file that finds hands (default: the one that ships)")
    predict.add_argument(
        "--smooth", type=_share, default=0.5, help="of hands in clips, from 0 (raw) to 1 (default %(default)g)"
    )
    predict.add_argument("--seconds", type=float, help="of each camera and stream (default: until Ctrl-C)")
    predict.add_argument("--compact", action="store_true", help="leave the vertices out of the JSON")
    predict.add_argument("--threads", type=_threads, default=2, help="of the interpreter (default 2)")
    predict.add_argument("--server", help="HOST:PORT (REST) or grpc://HOST:PORT of a TF Serving server that computes")
    predict.add_argument("--server-model", default=SERVER_MODEL, help="the model's name on that server (default hiu)")
    predict.add_argument(
        "--max-megapixels",
        type=float,
        default=MOST_MEGAPIXELS,
        help="larger pictures are refused (default %(default)g)",
    )
    predict.add_argument("--quiet", action="store_true", help="print errors alone")
    predict.add_argument("--allow-truncated", action="store_true", help="take what is left of files that are cut off")
    predict.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _add_info(commands):
    info = commands.add_parser("info", help="what a model takes and gives, or what a network costs")
    info.add_argument("--presets", action="store_true", help="parameters, MACs and memory of every preset")
    info.add_argument("--preset", help="the same of one preset (counted from its graph: needs hiu-tf[train])")
    info.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of that preset")
    info.add_argument("--model", help=".tflite or .onnx file, or SavedModel folder (default: the one that ships)")
    info.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _add_benchmark(commands):
    bench = commands.add_parser("benchmark", help="latency, CPU time, memory and start-up of models")
    bench.add_argument(
        "models", nargs="+", help=".tflite or .onnx files, SavedModel folders, or http:// or grpc:// servers"
    )
    bench.add_argument("--threads", default="1,2", help="of the interpreter (default 1,2)")
    bench.add_argument("--clients", default="1", help="of a server, at the same time (default 1)")
    bench.add_argument("--server-model", default=SERVER_MODEL, help="the model's name on the server (default hiu)")
    bench.add_argument(
        "--crop", type=int, default=0, help="side of the model's crops: time float crops on the wire too"
    )
    bench.add_argument("--picture", help="a picture of one hand (default: noise of 640x480)")
    bench.add_argument(
        "--max-megapixels",
        type=float,
        default=MOST_MEGAPIXELS,
        help="a larger --picture is refused (default %(default)g)",
    )
    bench.add_argument("--json", help="write the rows there")
    bench.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _count_of_hands(text):
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"takes a whole number from 1 to 100, got {text!r}")
    return int(text)


def _formats(text):
    """Parses the names of formats. Returns their suffixes."""
    from hiu_tf.runtime.results import FORMATS

    given = tuple(f".{part.strip().lower()}" for part in text.split(","))
    unknown = [suffix[1:] for suffix in given if suffix not in FORMATS]
    if unknown:
        known = ", ".join(suffix[1:] for suffix in FORMATS)
        raise argparse.ArgumentTypeError(f"takes {known} with commas between them, got {unknown[0]!r}")
    return given


def _share(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"takes a number from 0 to 1, got {text!r}")
    return value


def _threads(text):
    """Parses a number of threads and limits it to the number of cores."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"takes a whole number above 0, got {text!r}")
    from hiu_tf.runtime.backend import cores

    if int(text) > cores():
        print(f"this machine has {cores()} cores for {text} threads: {cores()} are taken", file=sys.stderr)
    return min(int(text), cores())


def main(argv=None) -> int:
    """Entry point. Returns the exit code: 0 success, 1 failure, 2 bad usage."""
    argv = sys.argv[1:] if argv is None else list(argv)
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


def _predict(args) -> int:
    from hiu_tf.pictures import read_picture
    from hiu_tf.runtime.clips import CLIPS, is_stream, shown_name
    from hiu_tf.runtime.files import USUAL, predict_clip, predict_picture
    from hiu_tf.runtime.predictor import Predictor
    from hiu_tf.runtime.shipped import shipped_model

    out = Path(args.out)
    streams = [text for text in args.inputs if is_stream(text)]
    files = _expand([text for text in args.inputs if text not in streams], out) + streams
    options = {
        "box": _numbers(args.box, 4, "--box"),
        "side": args.side,
        "K": _intrinsics(args.K),
        "min_score": args.min_score,
        "most": args.max_hands,
        "compact": args.compact,
    }
    read = partial(read_picture, most_pixels=int(1e6 * args.max_megapixels), allow_truncated=args.allow_truncated)
    names = _names(files)
    formats = args.format or USUAL
    _refuse_overwriting(files, out, names, formats)
    model = args.model or shipped_model()
    predictor = Predictor(
        model, args.threads, args.server, args.server_model, not args.no_fit, args.hand, args.detector
    )
    if options["box"] is None:
        predictor.detector  # noqa: B018  fail once now, not for each picture
    out.mkdir(parents=True, exist_ok=True)
    clear_leftovers(out)
    say = print if not args.quiet else lambda text: None
    say(f"{model} on {predictor.engine}: {len(files)} file(s) -> {out}")
    picture = partial(predict_picture, read=read, formats=formats, thorough=args.thorough)
    clip, failed = partial(predict_clip, smooth=args.smooth, meshes=".glb" in formats, quiet=args.quiet), []
    stream = partial(clip, seconds=args.seconds)
    for path, name in zip(files, names):
        predict = stream if path in streams else clip if path.suffix.lower() in CLIPS else picture
        try:
            say(predict(predictor, path, out / name, **options))
        except Exception as error:  # one bad file must not stop the others
            if args.debug:
                raise
            known = isinstance(error, (UserError, OSError))
            failed.append(path)
            print(f"error: {shown_name(path)}: {error if known else repr(error)}", file=sys.stderr)
    if failed and len(files) > 1:
        print(f"{len(failed)} of {len(files)} files failed: {', '.join(map(shown_name, failed))}", file=sys.stderr)
    return 1 if failed else 0


def _info(args) -> int:
    if args.presets:
        from hiu_tf.config.preset_costs import COSTS, cost_table

        print(cost_table(COSTS))
        return 0
    if args.preset:
        return _count(args.preset, args.set)
    from hiu_tf.runtime.backend import load_network
    from hiu_tf.runtime.shipped import shipped_model

    path = args.model or shipped_model()
    _, card, engine = load_network(path)
    print(f"{path}: {card['name']}, made by hiu-tf {card['hiu_tf']}, runs on {engine}")
    print(f"input: {card['input']}")
    for name, text in card["outputs"].items():
        print(f"  {name}: {text}")
    return 0


def _benchmark(args) -> int:
    import numpy as np

    from hiu_tf.pictures import read_picture
    from hiu_tf.runtime.latency import benchmark
    from hiu_tf.runtime.results import write_json
    from hiu_tf.tables import rows_table

    missing = [model for model in args.models if "://" not in model and not Path(model).exists()]
    if missing:
        raise UserError(f"there is no model at {missing[0]}")
    threads, clients = whole_numbers(args.threads, "--threads"), whole_numbers(args.clients, "--clients")
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    picture = read_picture(args.picture, int(1e6 * args.max_megapixels)) if args.picture else noise
    height, width = picture.shape[:2]
    box = (width / 4, height / 4, width / 2, height / 2)
    rows = benchmark(args.models, threads, picture, box, clients, args.server_model, args.crop)
    print(rows_table(rows))
    if args.json:
        write_json(Path(args.json), {"command": " ".join(sys.argv), "rows": rows})
    return 1 if any("error" in row for row in rows) else 0


def _count(preset, settings) -> int:
    """Builds a network and prints its parameters, MACs and memory."""
    from hiu_tf.config.load import parse_setting
    from hiu_tf.config.preset_costs import cost_table
    from hiu_tf.config.presets import model_config
    from hiu_tf.models.cost import network_cost

    changes = dict(map(parse_setting, settings))
    print(cost_table({preset: network_cost(model_config(preset, changes))}))
    return 0


def _expand(inputs, out):
    """Expands inputs to files: named files, and all pictures and clips below folders, without our own results."""
    from hiu_tf.pictures import PICTURES
    from hiu_tf.runtime.clips import CLIPS
    from hiu_tf.runtime.files import is_result
    from hiu_tf.runtime.sources import files_below

    files, out = [], out.resolve()
    for path in map(Path, inputs):
        if path.is_dir():
            if path.resolve() == out:
                raise UserError(f"--out {out} is the folder of the inputs: give another, so that results stay apart")
            found = files_below(path, PICTURES + CLIPS)
            found = [p for p in found if out not in p.resolve().parents and not is_result(p)]
            if not found:
                raise UserError(f"{path} holds no pictures or clips (overlays of ours do not count)")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"{path} does not exist")
    return files


def _names(files):
    """A result name for each file: its stem; folder, stem and suffix where several files share a stem."""
    paths = [path if isinstance(path, Path) else Path(_stream_name(path)) for path in files]
    stems = [path.stem.lstrip(".") or "picture" for path in paths]  # a name such as "..jpg" has no stem
    names = [s if stems.count(s) == 1 else f"{p.parent.name}_{s}_{p.suffix[1:]}" for p, s in zip(paths, stems)]
    twice = sorted({str(path) for path, name in zip(files, names) if names.count(name) > 1})
    if twice:
        raise UserError(f"the results of these would overwrite each other: {', '.join(twice)}")
    return names


def _stream_name(text):
    """A result name for a stream: camera_N, or host and path of the address with safe characters only."""
    if text.isdecimal():
        return f"camera_{text}"
    from hiu_tf.runtime.clips import shown_name

    return re.sub(r"[^A-Za-z0-9]+", "_", shown_name(text).partition("://")[2]).strip("_")[:80] or "stream"


def _refuse_overwriting(files, out, names, formats):
    """Refuses results that would overwrite an input picture."""
    own = {path.resolve() for path in files if isinstance(path, Path)}
    for name in names:
        for suffix in (*formats, ".mp4", ".jsonl"):
            if (out / (name + suffix)).resolve() in own:
                raise UserError(f"the result {out / (name + suffix)} would overwrite an input: give another --out")


def whole_numbers(text: str, option: str) -> list[int]:
    """Parses comma-separated whole numbers above 0; `option` names the option in the error."""
    counts = [int(part) if part.strip().isdigit() else 0 for part in text.split(",")]
    if min(counts) < 1:
        raise UserError(f"{option} takes whole numbers above 0 with commas between them, got {text!r}")
    return counts


def _numbers(text, count, option):
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise UserError(f"{option} takes {count} numbers with commas between them, got {text!r}")
    return values


def _intrinsics(text):
    values = _numbers(text, 4, "--K")
    if values is None:
        return None
    fx, fy, cx, cy = values
    if not all(map(math.isfinite, values)) or min(fx, fy) < 1 or max(map(abs, values)) > _LARGEST_K:
        raise UserError(f"--K takes focal lengths from 1 pixel and a centre, at most {_LARGEST_K:g}, got {text!r}")
    return [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]


#: Commands for using a model: name -> (adds its arguments, runs it).
COMMANDS = {
    "predict": (_add_predict, _predict),
    "info": (_add_info, _info),
    "benchmark": (_add_benchmark, _benchmark),
    "page": (add_page, run_page),
}

if __name__ == "__main__":
    sys.exit(main())
