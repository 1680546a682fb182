"""Serves an exported model with TF Serving: by the installed server, or by its container.

    hiu serve savedmodels/hiu_mobile
    hiu serve savedmodels/mine --rest-port 9501 --grpc-port 9500
    hiu predict photo.jpg --server localhost:8501

The container listens on this machine alone, an installed server on all addresses of the machine (docs/serving.md says
how to give others access safely). Stop it with Ctrl-C.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from hiu_tf.commands import values
from hiu_tf.conventions import SERVER_MODEL
from hiu_tf.errors import UserError
from hiu_tf.programs._program import program
from hiu_tf.serving.kit import IMAGE, newest_served

_SERVER = "tensorflow_model_server"


def command(model: Path, name: str, grpc_port: int, rest_port: int) -> list[str]:
    """Command line that starts the server: the one on the PATH, else Docker.

    Raises:
      UserError: the folder has no version of a model, or neither program is installed.
    """
    newest_served(model)
    if shutil.which(_SERVER):
        ports = [f"--port={grpc_port}", f"--rest_api_port={rest_port}"]
        return [_SERVER, *ports, f"--model_name={name}", f"--model_base_path={model.resolve()}"]
    if shutil.which("docker"):
        published = [f"127.0.0.1:{port}:{inside}" for port, inside in ((grpc_port, 8500), (rest_port, 8501))]
        ports = [word for port in published for word in ("-p", port)]
        volume = f"{model.resolve()}:/models/{name}:ro"
        return ["docker", "run", "--rm", *ports, "-v", volume, "-e", f"MODEL_NAME={name}", IMAGE]
    raise UserError(f"neither {_SERVER} nor docker is on the PATH: install one of them (docs/serving.md)")


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of an exported model, with numbered versions")
    parser.add_argument("--name", default=SERVER_MODEL, help="of the model on the server (default %(default)s)")
    parser.add_argument("--rest-port", type=values.port, default=8501, help="default %(default)d")
    parser.add_argument("--grpc-port", type=values.port, default=8500, help="default %(default)d")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    if args.rest_port == args.grpc_port:
        parser.error(f"--rest-port and --grpc-port are both {args.rest_port}")
    return args


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    words = command(args.model, args.name, args.grpc_port, args.rest_port)
    print(f"REST: localhost:{args.rest_port}   gRPC: grpc://localhost:{args.grpc_port}   {' '.join(words)}", flush=True)
    return subprocess.run(words, check=False).returncode


if __name__ == "__main__":
    sys.exit(program(main))
