"""The differentiable mask on two logical devices, in a process of its own: devices are chosen once."""

import subprocess
import sys

import pytest

from hiu_tf.render.kernel import rasterizer_backend

PROGRAM = """
import sys
import numpy as np
import hiu_tf, tensorflow as tf
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.procedural import procedural_hand
from hiu_tf.render.silhouette import silhouette

hand, camera, backend = procedural_hand(), virtual_intrinsics(64), sys.argv[1]
rotation = tf.random.stateless_normal([4, 3], [1, 2])
target = tf.cast(tf.random.stateless_uniform([4, 64, 64], [3, 4]) > 0.5, tf.float32)

def step(rotation, target):
    with tf.GradientTape() as tape:
        tape.watch(rotation)
        vertices = pose_hand(hand, tf.zeros([tf.shape(rotation)[0], 10]), tf.zeros([tf.shape(rotation)[0], 15, 3]), rotation, tf.constant([[0.0, 0, 0.6]]))["vertices"]
        mask = silhouette(vertices, hand.closed_faces, camera, 64, backend)
        loss = tf.reduce_sum(tf.abs(mask - target))
    gradient, _ = tf.clip_by_global_norm([tape.gradient(loss, rotation)], 1e9)
    return mask, gradient[0]

alone = step(rotation, target)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
data = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices((rotation, target)).batch(4))
run = tf.function(lambda r, t: strategy.run(step, (r, t)), autograph=False)
parts = run(*next(iter(data)))
for whole, part in zip(alone, parts):
    both = tf.concat(strategy.experimental_local_results(part), axis=0)
    np.testing.assert_allclose(both, whole, atol=1e-3, rtol=1e-3)
assert float(tf.reduce_sum(alone[0])) > 100 and np.abs(alone[1]).max() > 1
print("equal")
"""


no_compiler = pytest.mark.skipif(rasterizer_backend() is None, reason="no C++ compiler")


@pytest.mark.long
@pytest.mark.parametrize("backend", [pytest.param("kernel", marks=no_compiler), "tensor"])
def test_two_devices_draw_what_one_draws(backend):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, backend], capture_output=True, text=True, timeout=300, check=False
    )
    assert result.stdout.strip().endswith("equal"), result.stderr[-2000:]
