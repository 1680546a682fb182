"""Times masks: the C++ kernel, its TensorFlow twin, our mask, and tensorflow-graphics' splat."""

from __future__ import annotations

import itertools

from hiu_tf.programs.timed.timing import in_own_process, median_ms


def render_table(hand: str, batches: list[int], sizes: list[int]) -> list[dict]:
    """One row per size and batch: rasterisation alone; our mask and tensorflow-graphics', forward and backward."""
    rows = []
    for size, batch in itertools.product(sizes, batches):
        times = in_own_process(_time_render, hand, batch, size)
        row = {"size": size, "batch": batch} | {f"{name} ms": value for name, value in times.items()}
        row["splat / ours"] = times["splat"] / times["ours"]
        row["ours / kernel"] = times["ours"] / times["kernel"]
        rows.append(row)
    return rows


def _time_render(hand_name, batch, size):
    """Milliseconds for `batch` posed hands: kernel and twin alone, then masks with their gradient."""
    import numpy as np
    import tensorflow as tf

    from hiu_tf.geometry.camera import virtual_intrinsics
    from hiu_tf.geometry.tensor.camera import project
    from hiu_tf.hand.layer import pose_hand
    from hiu_tf.hand.load import load_hand
    from hiu_tf.hand.poses import sample_pose
    from hiu_tf.render.rasterizer import nearest_surface
    from hiu_tf.render.silhouette import silhouette

    hand, camera, rng = load_hand(hand_name), virtual_intrinsics(size), np.random.default_rng(0)
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
    return {name: median_ms(*job) for name, job in jobs.items()}


def splat_silhouette(vertices, faces, intrinsics, size):
    """The mask by tensorflow-graphics' differentiable renderer, as a baseline for the timing."""
    import tensorflow as tf

    from hiu_tf.geometry.tensor.camera import project
    from hiu_tf.render.kernel import rasterizer_backend

    rasterizer_backend()  # builds the kernel and registers it for tensorflow-graphics
    from tensorflow_graphics.rendering import splat

    depth = tf.stop_gradient(vertices[..., 2:])
    near, far = (reduce(depth, axis=1, keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    xy = (project(vertices, intrinsics) + 0.5) * (2.0 / size) - 1.0
    ndc = tf.concat([xy, 1.8 * (depth - near) / (far - near) - 0.9], axis=-1)
    # Its culling treats the other orientation as the front.
    colors = {"color": tf.ones([*vertices.shape[:2], 4])}
    picture = splat.rasterize_then_splat(
        ndc, faces[:, ::-1], colors, tf.eye(4, batch_shape=vertices.shape[:1]), (size, size), lambda x: x["color"]
    )
    return picture[..., 3]
