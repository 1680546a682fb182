"""Times parts of hiu-tf against plain implementations of the same, in one run on one machine.

    python tools/benchmark.py hand                       # the hand layer, batches 1, 32, 256
    python tools/benchmark.py hand --hand mano_right.npz --batches 32

Prints milliseconds (median of the repetitions), ratios and peak memory as a Markdown table. Each
implementation is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from pathlib import Path

from tools._program import program

_SECONDS = 2.0  # of repetitions for each figure


def hand_table(hand: str, batches: list[int]) -> list[dict]:
    """One row per batch and direction: ours, the plain implementation, their ratio."""
    rows = []
    for batch in batches:
        ours, plain = (_in_own_process(_time_hand, kind, hand, batch) for kind in ("ours", "plain"))
        for step in ("forward", "forward+backward"):
            rows.append(
                {
                    "batch": batch,
                    "step": step,
                    "ours ms": ours[step],
                    "plain ms": plain[step],
                    "ratio": plain[step] / ours[step],
                    "ours MB": ours["memory"],
                    "plain MB": plain["memory"],
                }
            )
    return rows


def _time_hand(kind, hand_name, batch):
    """Milliseconds of one implementation and the memory that its steps add."""
    import numpy as np
    import tensorflow as tf

    from hiu_tf.hand.layer import pose_hand
    from hiu_tf.hand.procedural import hand_model

    hand = hand_model(hand_name)
    pose = pose_hand if kind == "ours" else plain_pose_hand
    rng = np.random.default_rng(0)
    sizes = ([batch, 10], [batch, 15, 3], [batch, 3], [batch, 3])
    inputs = [tf.constant(rng.normal(size=size) * 0.5, tf.float32) for size in sizes]

    @tf.function(autograph=False)
    def forward(*parameters):
        return pose(hand, *parameters)["vertices"]

    @tf.function(autograph=False)
    def backward(*parameters):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            vertices = pose(hand, *parameters)["vertices"]
        return tape.gradient(vertices, parameters, output_gradients=tf.ones_like(vertices))

    before = _peak_megabytes()
    times = {"forward": _median_ms(forward, inputs), "forward+backward": _median_ms(backward, inputs)}
    return times | {"memory": _peak_megabytes() - before}


def plain_pose_hand(hand, shape, pose, rotation, translation):
    """The equations of the hand layer, one after the other, joint by joint: what ours is compared with."""
    import tensorflow as tf

    from hiu_tf.geometry.rotation import rotation_matrix

    vertices = hand.vertices + tf.einsum("vcn,bn->bvc", hand.shape_directions, shape)
    rest = tf.einsum("jv,bvc->bjc", hand.joint_regressor, vertices)
    local = rotation_matrix(pose)
    features = tf.reshape(local - tf.eye(3), [-1, 135])
    vertices += tf.einsum("vcn,bn->bvc", hand.pose_directions, features)
    rotations, positions = [rotation_matrix(rotation)], [rest[:, 0]]
    for j in range(1, 16):
        parent = hand.parents[j]
        step = tf.einsum("brc,bc->br", rotations[parent], rest[:, j] - rest[:, parent])
        positions.append(positions[parent] + step)
        rotations.append(rotations[parent] @ local[:, j - 1])
    skinned = tf.zeros_like(vertices)
    for j in range(16):
        moved = tf.einsum("brc,bvc->bvr", rotations[j], vertices - rest[:, j : j + 1]) + positions[j][:, None]
        skinned += hand.weights[:, j : j + 1] * moved
    return {"vertices": skinned + translation[:, None]}


def _median_ms(function, inputs):
    import time

    import numpy as np
    import tensorflow as tf

    function(*inputs)
    times = []
    while sum(times) < _SECONDS or len(times) < 5:
        start = time.perf_counter()
        tf.nest.map_structure(lambda tensor: tensor.numpy(), function(*inputs))
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def _peak_megabytes():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_own_process(function, *arguments):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def markdown(rows: list[dict]) -> str:
    """Rows as a table; figures with three digits."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    show = lambda value: f"{value:.3g}" if isinstance(value, float) else str(value)
    return "\n".join(lines + ["| " + " | ".join(map(show, row.values())) + " |" for row in rows])


def parse_args(argv):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("hand",), help="what to time")
    parser.add_argument("--hand", default="procedural", help='"procedural" or an .npz (default: procedural)')
    parser.add_argument("--batches", default="1,32,256", help="batch sizes (default 1,32,256)")
    parser.add_argument("--json", help="write the rows there")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from hiu_tf.runtime.results import write_json

    rows = hand_table(args.hand, [int(n) for n in args.batches.split(",")])
    print(markdown(rows))
    if args.json:
        write_json(Path(args.json), rows)
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
