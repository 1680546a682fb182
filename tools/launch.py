"""Starts several workers of a training on this machine, and all of them again when one dies.

    python tools/launch.py --workers 2 -- --recipe pipelines/recipes/quickstart.yaml --data data --out runs/first

What follows `--` are the arguments of tools/train.py. The workers speak to each other over loopback; each draws
its own part of every set, and a step's batch is shared by all. On several machines start tools/train.py on each,
with TF_CONFIG naming all of them and --out on a disk that they share:

    TF_CONFIG='{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}'

A worker that loses another ends with an error; all must be started again and go on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time

from tools._program import positive, program

_LOOK_S = 0.5


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def start_workers(count: int, arguments: list[str]) -> list[subprocess.Popen]:
    """One process of tools/train.py for each worker; the first one's output is shown."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers = []
    for index in range(count):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = os.environ | {"TF_CONFIG": json.dumps(config)}
        quiet = {} if index == 0 else {"stdout": subprocess.DEVNULL}
        command = [sys.executable, "-m", "tools.train", *arguments]
        workers.append(subprocess.Popen(command, env=environment, **quiet))
    return workers


def wait_for(workers: list[subprocess.Popen]) -> bool:
    """Whether all ended well; when one fails, the others are ended too."""
    try:
        while any(worker.poll() is None for worker in workers):
            if any(worker.returncode for worker in workers):
                return False
            time.sleep(_LOOK_S)
        return not any(worker.returncode for worker in workers)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()


def parse_args(argv):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=positive, default=2, help="processes (default 2)")
    parser.add_argument("--restarts", type=int, default=3, help="how often all are started again (default 3)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("arguments", nargs="+", help="after --: arguments of tools/train.py")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    for attempt in range(args.restarts + 1):
        if wait_for(start_workers(args.workers, args.arguments)):
            return 0
        if attempt < args.restarts:
            print(f"a worker ended with an error: starting all again ({attempt + 1} of {args.restarts})", flush=True)
    print("error: the workers could not finish", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(program(main))
