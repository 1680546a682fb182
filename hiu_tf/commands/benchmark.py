"""The command `hiu benchmark`: its options, and the function that runs it."""

import sys
from pathlib import Path

from hiu_tf.commands import values
from hiu_tf.conventions import SERVER_MODEL
from hiu_tf.errors import UserError


def add_benchmark(commands) -> None:
    """Adds the command to the parsers of `hiu`."""
    bench = commands.add_parser("benchmark", help="latency, CPU time, memory and start-up of models")
    bench.add_argument(
        "models", nargs="+", help=".tflite or .onnx files, SavedModel folders, or http:// or grpc:// servers"
    )
    bench.add_argument("--threads", default="1,2", help="of the interpreter (default 1,2)")
    bench.add_argument("--clients", default="1", help="of a server, at the same time (default 1)")
    bench.add_argument("--server-model", default=SERVER_MODEL, help="the model's name on the server (default hiu)")
    bench.add_argument(
        "--crop", type=values.whole, default=0, help="side of the model's crops: time crops on the wire too"
    )
    bench.add_argument("--picture", help="a picture of one hand (default: noise of 640x480)")
    bench.add_argument(
        "--max-megapixels",
        type=values.amount,
        default=values.MOST_MEGAPIXELS,
        help="a larger --picture is refused (default %(default)g)",
    )
    bench.add_argument("--json", type=values.target, help="write the rows there")
    bench.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run_benchmark(args) -> int:
    """Measures the models and prints a table. Returns the exit code: 1 if a model failed."""
    import numpy as np

    from hiu_tf.pictures import read_picture
    from hiu_tf.runtime.latency import benchmark
    from hiu_tf.runtime.results import write_json
    from hiu_tf.runtime.shipped import model_path
    from hiu_tf.tables import rows_table

    models = [model if "://" in model else str(model_path(model)) for model in args.models]
    missing = [model for model in models if "://" not in model and not Path(model).exists()]
    if missing:
        raise UserError(f"there is no model at {missing[0]}")
    threads, clients = values.whole_numbers(args.threads, "--threads"), values.whole_numbers(args.clients, "--clients")
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    picture = read_picture(args.picture, int(1e6 * args.max_megapixels)) if args.picture else noise
    height, width = picture.shape[:2]
    box = (width / 4, height / 4, width / 2, height / 2)
    rows = benchmark(models, threads, picture, box, clients, args.server_model, args.crop)
    print(rows_table(rows))
    if args.json:
        write_json(args.json, {"command": " ".join(sys.argv), "rows": rows})
    return 1 if any("error" in row for row in rows) else 0
