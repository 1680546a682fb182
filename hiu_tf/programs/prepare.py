"""Converts a data set to sharded TFRecords with an index.

    hiu prepare synthetic --source 2000 --split train --out data/synthetic
    hiu prepare own_data --source photos/ --split train --out data/photos
    hiu prepare rhd --source RHD_published_v2 --split train --out data/rhd --option hand=both

Check a data set before writing, look at its samples, and verify written records:

    hiu prepare freihand --source FreiHAND_pub_v2 --split train --check
    hiu prepare stb --source STB --split test --sheet stb.png
    hiu prepare stb --verify --out data/stb

`--source` is the folder of the data set; for synthetic it is the number of pictures to render. See
pipelines/datasets/NAME/README.md for each set's layout, splits and options. Finished shards are kept: after an
interruption the same command resumes where it stopped.
"""

import argparse
import math
import os
import signal
import sys
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from hiu_tf.commands.values import positive
from hiu_tf.programs._program import end_with_parent, program

_SAMPLES_PER_SHARD, _FEWEST_SHARDS = 1000, 8
_TICK_S = 0.3
_SHOWN = 20

_done = None  # number of samples finished by all processes; passed to each process at its start


def _start_worker(counter):
    global _done
    _done = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers
    end_with_parent()


def _count():
    with _done.get_lock():
        _done.value += 1


@lru_cache(maxsize=1)
def _annotations(*what):
    """Opens the annotations once per process, not once per shard: some files take seconds to read."""
    from pipelines.datasets import open_split

    return open_split(*what)


def write_part(name, source, split, options, out, part, parts) -> tuple[str, dict]:
    """Writes one shard; runs in a worker process. Returns the shard's name and note."""
    from pipelines.records import RECORD_VERSION, write_shard

    opened = _annotations(name, source, split, options)
    shard = f"{split}-{part:05d}-of-{parts:05d}.tfrecord"
    made_from = f"{name} {source} {split} {options} {part}/{parts} {opened.fingerprint} version {RECORD_VERSION}"
    return shard, write_shard(Path(out) / shard, opened.outcomes(part, parts), made_from, _count)


def prepare(name, source, split, out, parts=None, workers=1, options=(), max_bad=10) -> dict:
    """Writes all shards of a split and its index. Returns counts, statistics, and skipped samples.

    Raises:
      RecordError: more than `max_bad` samples are broken. The shards are kept, but the index is not written.
    """
    from hiu_tf.atomic import locked
    from pipelines.datasets import open_split

    opened = open_split(name, source, split, options)  # before TensorFlow is loaded: a missing folder is named at once
    from pipelines.records import refuse_other_set

    parts = parts or min(len(opened.keys), max(_FEWEST_SHARDS, math.ceil(len(opened.keys) / _SAMPLES_PER_SHARD)))
    Path(out).mkdir(parents=True, exist_ok=True)
    refuse_other_set(Path(out), opened.name)
    with locked(Path(out), "hiu prepare"):
        return _prepare_parts(opened, (name, source, split, options, out), parts, workers, max_bad)


def _prepare_parts(opened, what, parts, workers, max_bad):
    from hiu_tf.atomic import clear_leftovers
    from pipelines.records import RecordError, write_index

    name, _, split, _, out = what
    context, shards = get_context("spawn"), {}
    counter = context.Value("q", 0)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (counter,))
    jobs = {pool.submit(write_part, *what, part, parts) for part in range(parts)}
    try:
        with tqdm(total=len(opened.keys), desc=f"{name}/{split}", unit=" samples", disable=None) as bar:
            while jobs:
                finished, jobs = wait(jobs, _TICK_S, FIRST_COMPLETED)
                shards |= dict(job.result() for job in finished)
                if counter.value > bar.n:
                    bar.update(counter.value - bar.n)
                bad = [message for note in shards.values() for message in note["skipped"]]
                if len(bad) > max_bad:
                    raise RecordError(
                        f"{len(bad)} samples are broken, allowed are {max_bad} (--max-bad). Look with --check. The first:\n  "
                        + "\n  ".join(bad[:_SHOWN])
                    )
            bar.update(bar.total - bar.n)
    except BaseException:  # also on Ctrl-C: do not wait for the remaining shards
        for process in list(pool._processes.values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    clear_leftovers(out)  # left by workers of a killed program that ended after this one had started
    return write_index(Path(out), opened.name, split, shards)


def check(name, source, split, options) -> bool:
    """Reads every sample and prints the content of the split and all errors. Returns True if there are none."""
    from pipelines.datasets import open_split
    from pipelines.fit import camera_errors
    from pipelines.schema import LeftOut, Sample
    from pipelines.tally import merge, tally

    opened, tallies, wrong, left_out = open_split(name, source, split, options), [merge([])], [], []
    for key, outcome in tqdm(
        opened.outcomes(), total=len(opened.keys), desc=f"check {name}/{split}", unit=" samples", disable=None
    ):
        if isinstance(outcome, Sample):
            tallies.append(tally(outcome))
            tallies = [merge(tallies)] if len(tallies) > _SAMPLES_PER_SHARD else tallies
            wrong += [f"{name}/{key}: {error}" for error in camera_errors(outcome)]
        else:
            (left_out if isinstance(outcome, LeftOut) else wrong).append(str(outcome))
    left_out += [f"{name}/{key}: {reason} (known_bad.csv)" for key, reason in opened.left_out.items()]
    print_content(merge(tallies) | {"skipped": wrong, "left_out": left_out})
    return not wrong


def print_content(content) -> None:
    """Prints counts, statistics, and every missing sample with its reason."""
    counts = dict(content["counts"])
    print(f"{counts.pop('samples')} samples: " + ", ".join(f"{n} {label}" for label, n in counts.items() if n))
    for name, values in content["statistics"].items():
        print(f"  {name}: {values['min']:.3g} to {values['max']:.3g}, mean {values['mean']:.3g}")
    for name, messages in (("left out", content["left_out"]), ("broken", content["skipped"])):
        if messages:
            print(f"{len(messages)} {name}:")
            limit = len(messages) if name == "broken" else _SHOWN
            print("\n".join(f"  {message}" for message in messages[:limit]))
            if limit < len(messages):
                print(f"  ... and {len(messages) - limit} more")


def _not_negative(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"takes a whole number from 0, got {text!r}")
    return int(text)


def parse_args(argv):
    """Parses the command line."""
    from pipelines.datasets import READERS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help=", ".join(READERS))
    parser.add_argument("--source", help="folder of the data set; synthetic: number of pictures")
    parser.add_argument("--split", help="train, val or test")
    parser.add_argument("--out", help="folder for the records")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the set, see its card")
    parser.add_argument("--check", action="store_true", help="read everything, write nothing, report all that is wrong")
    parser.add_argument("--sheet", metavar="PNG", help="draw samples with their labels, write nothing else")
    parser.add_argument("--samples", type=positive, default=24, help="how many --sheet draws (default 24)")
    parser.add_argument("--verify", action="store_true", help="compare the records in --out with their checksums")
    parser.add_argument("--shards", type=positive, help="number of files (default: one for 1,000 samples, at least 8)")
    parser.add_argument("--workers", type=positive, default=os.cpu_count(), help="processes (default: all cores)")
    parser.add_argument(
        "--max-bad", type=_not_negative, default=10, help="so many broken samples are skipped and listed (default 10)"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    if not args.verify and not (args.source and args.split):
        parser.error("--source and --split are needed")
    if not args.out and not (args.check or args.sheet):
        parser.error("--out is needed")
    if args.split and not args.split.replace("_", "").replace("-", "").isalnum():
        parser.error(f"--split takes a plain name, got {args.split!r}")
    if any("=" not in option for option in args.option):
        parser.error("--option takes NAME=VALUE")
    return args


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    options = tuple(tuple(option.split("=", 1)) for option in args.option)
    if args.verify:
        from pipelines.records import verify

        wrong = verify(args.out)
        print("\n".join(wrong) if wrong else f"{args.out}: all shards are as they were written")
        return 1 if wrong else 0
    if args.sheet:
        from hiu_tf.programs._sheet import write_sheet

        drawn = write_sheet(args.dataset, args.source, args.split, options, args.samples, Path(args.sheet))
        print(f"{drawn} samples of {args.dataset}/{args.split}: {args.sheet}")
    if args.check:
        return 0 if check(args.dataset, args.source, args.split, options) else 1
    if not args.sheet:
        print_content(
            prepare(args.dataset, args.source, args.split, args.out, args.shards, args.workers, options, args.max_bad)
        )
        print(f"written to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
