"""Times the hand layer against a plain implementation, joint by joint."""

from __future__ import annotations

from hiu_tf.programs.timed.timing import in_own_process, median_ms, peak_megabytes


def hand_table(hand: str, batches: list[int]) -> list[dict]:
    """One row per batch and direction: ours, the plain implementation, their ratio."""
    rows = []
    for batch in batches:
        ours, plain = (in_own_process(_time_hand, kind, hand, batch) for kind in ("ours", "plain"))
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
    """Milliseconds of one implementation, and the memory that its steps add."""
    import numpy as np
    import tensorflow as tf

    from hiu_tf.hand.layer import pose_hand
    from hiu_tf.hand.load import load_hand

    hand = load_hand(hand_name)
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

    before = peak_megabytes()
    times = {"forward": median_ms(forward, inputs), "forward+backward": median_ms(backward, inputs)}
    return times | {"memory": peak_megabytes() - before}


def plain_pose_hand(hand, shape, pose, rotation, translation):
    """Plain implementation of the hand layer's equations, joint by joint, as a baseline for the timing."""
    import tensorflow as tf

    from hiu_tf.geometry.tensor.rotation import rotation_matrix

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
