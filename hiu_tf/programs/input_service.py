"""Runs input pipelines on other machines: a tf.data service with one dispatcher and any number of workers.

    hiu input-service dispatcher --port 5050
    hiu input-service worker --dispatcher HOST:5050 --host THIS_MACHINE --port 5051
    hiu train --recipe RECIPE --data DATA --out RUN --set train.input_service=grpc://HOST:5050

Workers read the same paths as the trainer: --data must be mounted there too. Every worker sends batches in
its own order, so that a run with a service is not exactly reproducible. Stop it with Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import sys

from hiu_tf.commands import values
from hiu_tf.programs._program import program


def _address(text):
    host, _, number = text.removeprefix("grpc://").rpartition(":")
    if not host or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"takes HOST:PORT, got {text!r}")
    return f"{host}:{values.port(number)}"


def start(role: str, port: int, dispatcher: str | None = None, host: str = "localhost"):
    """Starts a server and returns it with its address."""
    from tensorflow.data.experimental import service

    import hiu_tf  # noqa: F401  (before tensorflow)
    from pipelines.warp import load_operations

    load_operations()

    if role == "dispatcher":
        server = service.DispatchServer(service.DispatcherConfig(port=port))
        return server, server.target
    # The dispatcher passes on the worker's address with its port: a port of 0 must be replaced first.
    port = port or _free_port()
    address = f"{host}:{port}"
    config = service.WorkerConfig(dispatcher, worker_address=address, port=port)
    return service.WorkerServer(config), address


def _free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=("dispatcher", "worker"))
    parser.add_argument("--port", type=values.port, default=0, help="default: any free one")
    parser.add_argument(
        "--dispatcher", type=_address, metavar="HOST:PORT", help="for a worker: where the dispatcher is"
    )
    parser.add_argument("--host", default="localhost", help="for a worker: this machine's name for the trainer")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    if args.role == "worker" and not args.dispatcher:
        parser.error("a worker needs --dispatcher")
    return args


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # TensorFlow waits outside of Python, where no handler would run
    if args.role == "worker":
        print(f"waiting for the dispatcher at {args.dispatcher}", file=sys.stderr)
    server, address = start(args.role, args.port, args.dispatcher, args.host)
    print(f"{args.role} at {address}", flush=True)
    server.join()
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
