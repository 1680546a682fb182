"""Times parts of hiu-tf against plain implementations of the same, in one run on one machine.

    python tools/benchmark.py hand                       # the hand layer, batches 1, 32, 256
    python tools/benchmark.py hand --hand mano_right.npz --batches 32
    python tools/benchmark.py render                     # masks: kernel, twin, ours, tensorflow-graphics' splat
    python tools/benchmark.py render --batches 8 --sizes 256

Prints milliseconds (median of the repetitions), ratios and peak memory as a Markdown table. Each
implementation is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
from pathlib import Path

from hiu_tf.errors import UserError
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


def render_table(hand: str, batches: list[int], sizes: list[int]) -> list[dict]:
    """One row per size and batch: bare rasterisation, our mask and tensorflow-graphics', forward+backward."""
    rows = []
    for size, batch in itertools.product(sizes, batches):
        times = _in_own_process(_time_render, hand, batch, size)
        row = {"size": size, "batch": batch} | {f"{name} ms": value for name, value in times.items()}
        row["splat / ours"] = times["splat"] / times["ours"]
        row["ours / kernel"] = times["ours"] / times["kernel"]
        rows.append(row)
    return rows


def _time_render(hand_name, batch, size):
    """Milliseconds for `batch` posed hands: kernel and twin alone, then masks with their gradient."""
    import numpy as np
    import tensorflow as tf

    from hiu_tf.geometry.camera import project, virtual_intrinsics
    from hiu_tf.hand.layer import pose_hand
    from hiu_tf.hand.poses import sample_pose
    from hiu_tf.hand.procedural import hand_model
    from hiu_tf.render.rasterizer import nearest_surface
    from hiu_tf.render.silhouette import silhouette

    hand, camera, rng = hand_model(hand_name), virtual_intrinsics(size), np.random.default_rng(0)
    pose = np.stack([sample_pose(rng) for _ in range(batch)])
    translation = np.tile([0.0, 0.03, 0.6], (batch, 1))
    vertices = pose_hand(hand, np.zeros((batch, 10)), pose, rng.normal(size=(batch, 3)), translation)["vertices"]
    upstream = tf.random.stateless_normal([batch, size, size], [1, 2])

    def bare(backend):
        points = project(vertices, camera)
        return tf.function(
            lambda p, z: nearest_surface(p, z, tf.constant(hand.faces), size, backend)[2], autograph=False
        ), [points, vertices[..., 2]]

    def trained(draw):
        def step(vertices, upstream):
            with tf.GradientTape() as tape:
                tape.watch(vertices)
                mask = draw(vertices)
            return tape.gradient(mask, vertices, output_gradients=upstream)

        return tf.function(step, autograph=False), [vertices, upstream]

    jobs = {
        "kernel": bare("kernel"),
        "twin": bare("tensor"),
        "ours": trained(lambda v: silhouette(v, hand.faces, camera, size)),
        "ours with twin": trained(lambda v: silhouette(v, hand.faces, camera, size, "tensor")),
        "splat": trained(lambda v: splat_silhouette(v, hand.faces, camera, size)),
    }
    return {name: _median_ms(*job) for name, job in jobs.items()}


def splat_silhouette(vertices, faces, intrinsics, size):
    """The mask by tensorflow-graphics' own differentiable renderer: what ours is compared with."""
    import tensorflow as tf

    from hiu_tf.geometry.camera import project
    from hiu_tf.render.kernel import rasterizer_backend

    rasterizer_backend()  # builds the kernel and puts it where tensorflow-graphics looks
    from tensorflow_graphics.rendering import splat

    depth = tf.stop_gradient(vertices[..., 2:])
    near, far = (reduce(depth, axis=1, keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    xy = (project(vertices, intrinsics) + 0.5) * (2.0 / size) - 1.0
    ndc = tf.concat([xy, 1.8 * (depth - near) / (far - near) - 0.9], axis=-1)
    # Its culling takes the other orientation for the front.
    colors = {"color": tf.ones([*vertices.shape[:2], 4])}
    picture = splat.rasterize_then_splat(
        ndc, faces[:, ::-1], colors, tf.eye(4, batch_shape=vertices.shape[:1]), (size, size), lambda x: x["color"]
    )
    return picture[..., 3]


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


def _whole_numbers(text, option):
    numbers = [int(part) if part.strip().isdigit() else 0 for part in text.split(",")]
    if min(numbers) < 1:
        raise UserError(f"{option} takes whole numbers above 0 with commas between them, got {text!r}")
    return numbers


def markdown(rows: list[dict]) -> str:
    """Rows as a table; figures with three digits."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    show = lambda value: f"{value:.3g}" if isinstance(value, float) else str(value)
    return "\n".join(lines + ["| " + " | ".join(map(show, row.values())) + " |" for row in rows])


def parse_args(argv):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("hand", "render"), help="what to time")
    parser.add_argument("--hand", default="procedural", help='"procedural" or an .npz (default: procedural)')
    parser.add_argument("--batches", help="batch sizes (default: 1,32,256 hands, 1,8,32 masks)")
    parser.add_argument("--sizes", default="64,128,256", help="sides of the masks in pixels (default 64,128,256)")
    parser.add_argument("--json", help="write the rows there")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from hiu_tf.runtime.results import write_json

    defaults = {"hand": "1,32,256", "render": "1,8,32"}
    batches = _whole_numbers(args.batches or defaults[args.part], "--batches")
    if args.part == "hand":
        rows = hand_table(args.hand, batches)
    else:
        rows = render_table(args.hand, batches, _whole_numbers(args.sizes, "--sizes"))
    print(markdown(rows))
    if args.json:
        write_json(Path(args.json), rows)
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
