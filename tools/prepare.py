"""Turns a data set into sharded TFRecords with an index.

    python tools/prepare.py synthetic --source 2000 --split train --out data/synthetic
    python tools/prepare.py synthetic --source 200 --split val --out data/synthetic
    python tools/prepare.py own_data --source photos/ --split train --out data/photos

`--source` is the folder of the data set; for synthetic it is the number of pictures to render.
Finished shards are kept: after an interruption the same command goes on where it stopped.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from tools._program import positive, program


def write_part(name: str, source: str, split: str, out: str, part: int, parts: int) -> tuple[str, dict]:
    """Writes one shard. Returns its name and counts; runs in a process of its own."""
    from pipelines.datasets import reader
    from pipelines.records import write_shard

    shard = f"{split}-{part:05d}-of-{parts:05d}.tfrecord"
    made_from = f"{name} {source} {split} {part}/{parts} {reader(name).fingerprint(source, split)}"
    return shard, write_shard(Path(out) / shard, reader(name).read(source, split, part, parts), made_from)


def prepare(name: str, source: str, split: str, out: str, parts: int, workers: int) -> dict:
    """Writes all shards of a split and its index. Returns the counts per label."""
    from pipelines.datasets import reader
    from pipelines.records import write_index

    next(iter(reader(name).read(source, split, 0, parts)))  # refuse bad input before work starts
    Path(out).mkdir(parents=True, exist_ok=True)
    shards = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(write_part, name, source, split, out, part, parts) for part in range(parts)]
        for job in tqdm(as_completed(jobs), total=parts, desc=f"{name}/{split}", unit="shard"):
            shard, counts = job.result()
            shards[shard] = counts
    return write_index(Path(out), name, split, shards)


def parse_args(argv):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="synthetic or own_data")
    parser.add_argument("--source", required=True, help="folder of the data set; synthetic: number of pictures")
    parser.add_argument("--split", required=True, help="train, val or test")
    parser.add_argument("--out", required=True, help="folder for the records")
    parser.add_argument("--shards", type=positive, default=8, help="number of files (default 8)")
    parser.add_argument("--workers", type=positive, default=os.cpu_count(), help="processes (default: all cores)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    counts = prepare(args.dataset, args.source, args.split, args.out, args.shards, args.workers)
    print(f"{args.out}: " + ", ".join(f"{count} {label}" for label, count in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
