"""The command `hiu predict`: its options, and the function that runs it."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from hiu_tf.atomic import clear_leftovers
from hiu_tf.commands import values
from hiu_tf.conventions import SERVER_MODEL
from hiu_tf.errors import UserError


def add_predict(commands) -> None:
    """Adds the command to the parsers of `hiu`."""
    predict = commands.add_parser("predict", help="find and read hands in pictures and clips")
    predict.add_argument(
        "inputs",
        nargs="+",
        help="pictures, clips, folders of them; the http(s) address of a picture; a camera's number; a stream's address",
    )
    predict.add_argument("--out", default="predictions", help="folder for the results (default: predictions)")
    predict.add_argument(
        "--format",
        type=values.formats,
        help="of a picture's results, with commas between: png, jpg, json, obj, ply, glb (default: png,json,obj)",
    )
    predict.add_argument(
        "--model",
        help=".tflite or .onnx file, SavedModel folder, or hiu_edge, the smaller one that ships (default: hiu_mobile)",
    )
    predict.add_argument("--box", help="x,y,w,h of the one hand in pixels (default: find all hands)")
    predict.add_argument("--side", choices=("right", "left"), help="which hand (default: predicted)")
    predict.add_argument(
        "--max-hands", type=values.count_of_hands, default=8, help="of a picture (default %(default)d)"
    )
    predict.add_argument(
        "--thorough", action="store_true", help="look at parts of each picture too, for hands that are small in it"
    )
    predict.add_argument("--K", help="fx,fy,cx,cy in pixels: 3D in the camera's frame")
    predict.add_argument(
        "--min-score", type=values.share, help="a hand that is found must score it (default: the card's)"
    )
    predict.add_argument("--no-fit", action="store_true", help="leave the mesh where the regressor puts it")
    predict.add_argument(
        "--fit-mask",
        action="store_true",
        help="fit the mesh to the mask too: it covers the hand better, but takes longer",
    )
    predict.add_argument(
        "--hand", default="procedural", help="hand model (.npz) that a --model of your own poses (default: procedural)"
    )
    predict.add_argument("--detector", help=".tflite or .onnx file that finds hands (default: the one that ships)")
    predict.add_argument(
        "--smooth", type=values.share, default=0.5, help="of hands in clips, from 0 (raw) to 1 (default %(default)g)"
    )
    predict.add_argument("--seconds", type=values.amount, help="of each camera and stream (default: until Ctrl-C)")
    predict.add_argument("--compact", action="store_true", help="leave the vertices out of the JSON")
    predict.add_argument("--threads", type=values.threads, default=2, help="of the interpreter (default 2)")
    predict.add_argument("--server", help="HOST:PORT (REST) or grpc://HOST:PORT of a TF Serving server that computes")
    predict.add_argument("--server-model", default=SERVER_MODEL, help="the model's name on that server (default hiu)")
    predict.add_argument(
        "--max-megapixels",
        type=values.amount,
        default=values.MOST_MEGAPIXELS,
        help="larger pictures are refused (default %(default)g)",
    )
    predict.add_argument(
        "--show", action="store_true",
        help="also show the results in a window: clips as they run, each picture until a key is pressed; q ends",
    )  # fmt: skip
    predict.add_argument("--quiet", action="store_true", help="print errors alone")
    predict.add_argument("--allow-truncated", action="store_true", help="take what is left of files that are cut off")
    predict.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run_predict(args) -> int:
    """Predicts all inputs. Returns the exit code: 1 if one failed."""
    from hiu_tf.runtime.clips import shown_name
    from hiu_tf.runtime.files import USUAL, predict_clip, predict_picture
    from hiu_tf.runtime.predictor import Predictor
    from hiu_tf.runtime.screen import opened_screen
    from hiu_tf.runtime.shipped import shipped_model
    from hiu_tf.runtime.sources import is_clip, open_picture

    out, formats = Path(args.out), args.format or USUAL
    sources = _expand(args.inputs, out)
    names = _names(sources)
    _refuse_overwriting(sources, out, names, formats)
    options = {
        "box": values.numbers(args.box, 4, "--box"),
        "side": args.side,
        "K": values.intrinsics(args.K),
        "min_score": args.min_score,
        "most": args.max_hands,
        "compact": args.compact,
    }
    model = args.model or shipped_model()
    predictor = Predictor(
        model, args.threads, args.server, args.server_model, not args.no_fit, args.hand, args.detector, args.fit_mask
    )
    if options["box"] is None or options["side"] is None:
        predictor.detector  # noqa: B018  fail once now, not for each picture
    read = partial(open_picture, most_pixels=int(1e6 * args.max_megapixels), allow_truncated=args.allow_truncated)
    say, failed = print if not args.quiet else lambda text: None, []
    with opened_screen() if args.show else nullcontext() as screen:
        out.mkdir(parents=True, exist_ok=True)
        clear_leftovers(out)
        say(f"{model} on {predictor.engine}: {len(sources)} file(s) -> {out}")
        if args.thorough and any(map(is_clip, sources)):
            say("--thorough is for pictures: the hands of clips are followed from frame to frame without it")
        picture = partial(predict_picture, read=read, formats=formats, thorough=args.thorough, screen=screen)
        clip = partial(predict_clip, smooth=args.smooth, meshes=".glb" in formats, quiet=args.quiet, screen=screen)
        for source, name in zip(sources, names):
            predict = clip if is_clip(source) else picture
            own = {"seconds": args.seconds} if is_clip(source) and isinstance(source, str) else {}
            try:
                say(predict(predictor, source, out / name, **options, **own))
            except Exception as error:  # one bad file must not stop the others
                if args.debug:
                    raise
                known = isinstance(error, (UserError, OSError))
                failed.append(source)
                print(f"error: {shown_name(source)}: {error if known else repr(error)}", file=sys.stderr)
    if failed and len(sources) > 1:
        print(f"{len(failed)} of {len(sources)} files failed: {', '.join(map(shown_name, failed))}", file=sys.stderr)
    return 1 if failed else 0


def _expand(inputs, out):
    """Expands inputs: addresses and cameras as text; named files, and pictures and clips below folders, without our own results."""
    from hiu_tf.pictures import PICTURES
    from hiu_tf.runtime.clips import CLIPS, is_stream
    from hiu_tf.runtime.files import is_result
    from hiu_tf.runtime.sources import files_below

    sources, out = [], out.resolve()
    for text in inputs:
        path = Path(text)
        if is_stream(text):
            sources.append(text)
        elif path.is_dir():
            if path.resolve() == out:
                raise UserError(f"--out {out} is the folder of the inputs: give another, so that results stay apart")
            found = files_below(path, PICTURES + CLIPS)
            found = [p for p in found if out not in p.resolve().parents and not is_result(p)]
            if not found:
                raise UserError(f"{path} holds no pictures or clips (overlays of ours do not count)")
            sources += found
        elif path.is_file():
            sources.append(path)
        else:
            raise UserError(f"{path} does not exist")
    return sources


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
