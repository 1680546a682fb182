"""Starts several workers of a training on this machine, and restarts all of them when one is lost.

    hiu launch --workers 2 -- --recipe pipelines/recipes/quickstart.yaml --data data --out runs/first

The arguments after `--` go to hiu train. The workers communicate over loopback. Each draws its own part of
every set, and they share the batch of each step. For several machines, start hiu train on each with --out on
a shared disk and a TF_CONFIG that names all of them:

    TF_CONFIG='{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}'

A worker that loses another one ends with an error. Then restart all of them: they resume from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

from hiu_tf.commands.values import positive, whole
from hiu_tf.errors import LostWorker
from hiu_tf.programs._program import program

_LOOK_S = 0.5


def free_ports(count: int) -> list[int]:
    """Finds unused ports of this machine."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def running(count: int, arguments: list[str]):
    """Runs a process of hiu train per worker and shows the first one's output. Ends all of them with the block."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers = []
    try:
        for index in range(count):
            config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment = os.environ | {"TF_CONFIG": json.dumps(config)}
            quiet = {} if index == 0 else {"stdout": subprocess.DEVNULL}
            command = [sys.executable, "-m", "hiu_tf.programs.train", *arguments]
            workers.append(subprocess.Popen(command, env=environment, **quiet))
        yield workers
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()


def exit_codes(workers: list[subprocess.Popen]) -> list[int]:
    """Waits until all workers have ended or one has failed. Returns the exit codes of those that ended."""
    while any(worker.poll() is None for worker in workers) and not any(worker.returncode for worker in workers):
        time.sleep(_LOOK_S)
    time.sleep(_LOOK_S)  # time for other workers to fail for the same reason
    return [worker.returncode for worker in workers if worker.poll() is not None]


def worth_another_try(codes: list[int]) -> bool:
    """Whether a restart may help: a worker was killed or lost another. Other errors would occur again."""
    return any(code < 0 or code == LostWorker.exit_code for code in codes)


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=positive, default=2, help="processes (default 2)")
    parser.add_argument(
        "--restarts", type=whole, default=3, help="how often all are started again when one is gone (default 3)"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("arguments", nargs="+", help="after --: arguments of hiu train")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # exiting ends the workers, too
    for attempt in range(args.restarts + 1):
        with running(args.workers, args.arguments) as workers:
            codes = exit_codes(workers)
        if not any(codes):
            return 0
        if not worth_another_try(codes):
            break
        if attempt < args.restarts:
            print(f"a worker is gone: starting all again ({attempt + 1} of {args.restarts})", flush=True)
    print("error: the workers could not finish", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(program(main))
