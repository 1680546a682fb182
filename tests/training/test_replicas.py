"""Several replicas compute what one does: losses, gradient norms, weights and colours, in a process of their own."""

import subprocess
import sys

import numpy as np
import pytest

REPLICAS = """
import sys, numpy as np
import hiu_tf, tensorflow as tf, tf_keras as keras
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1]))
from hiu_tf.hand.procedural import procedural_hand
from hiu_tf.training.distribution import strategy
from pipelines.build import finish, finished_data, training_data
from tests.training.test_training import recipe, trainer_of

devices = strategy()
assert devices.num_replicas_in_sync == int(sys.argv[1])
made = recipe(1, batch_size=8)
image, y = next(iter(finished_data(made, sys.argv[2], 64)))
crops = next(iter(training_data(made, sys.argv[2], 64)))
first = tf.constant([1.0] + [0.0] * 7)
uneven = y | {"mask_weight": first, "joints_3d_weight": y["joints_3d_weight"] * first[:, None]}
half = tf.constant([1.0] * 4 + [0.0] * 4)
unlabelled = {k: v * tf.reshape(half, [8] + [1] * (v.shape.rank - 1)) if k.endswith("_weight") else v for k, v in y.items()}
part = lambda n: (image[:n], {k: v[:n] for k, v in y.items()})
batches = [(image, uneven), (image, unlabelled)] + ([part(3), part(1)] if len(sys.argv) == 3 else [])
data = tf.data.Dataset.from_tensors(batches[0])
for batch in batches[1:]:
    data = data.concatenate(tf.data.Dataset.from_tensors(batch))
with devices.scope():
    trainer = trainer_of(procedural_hand(), synchronized=len(sys.argv) > 3)
    trainer.compile(keras.optimizers.legacy.SGD(1e-6))
    history = []
    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            history.extend([logs["loss"], logs["gradient_norm"], logs["mask"]])
    trainer.fit(data, verbose=0, callbacks=[Note()])
weights = np.concatenate([w.numpy().ravel() for w in trainer.network.trainable_weights])
pictures = devices.experimental_local_results(devices.run(lambda: finish(crops, made, 64)[0]))
np.testing.assert_allclose(pictures[0], image, atol=1e-6)
assert all(np.abs(other - pictures[0]).max() > 0.1 for other in pictures[1:]), "replicas with equal colours"
print(*map(repr, map(float, [*history, np.abs(weights).sum(), weights @ np.sin(np.arange(len(weights)))])))
"""


@pytest.mark.long
def test_two_replicas_equal_one(rendered_records):
    """1 x 8 and 2 x 4, step by step: all masks and 3D labels in one replica; a replica without any label; batches of
    3 and of 1, which leave a replica with less or nothing. Losses, gradient norms and weights agree to 1e-4."""
    metrics = []
    for replicas in ("1", "2"):
        command = [sys.executable, "-c", REPLICAS, replicas, str(rendered_records)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr[-2000:]
        metrics.append([float(number) for number in result.stdout.split()])
    assert len(metrics[0]) == 4 * 3 + 2
    np.testing.assert_allclose(metrics[0], metrics[1], rtol=1e-4)


@pytest.mark.slow
def test_synchronised_batch_norm_sees_the_whole_batch(rendered_records):
    """1 x 8 and 2 x 4 agree with batch norm in training too."""
    metrics = []
    for replicas in ("1", "2"):
        command = [sys.executable, "-c", REPLICAS, replicas, str(rendered_records), "synchronised"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr[-2000:]
        metrics.append([float(number) for number in result.stdout.split()])
    np.testing.assert_allclose(metrics[0], metrics[1], rtol=1e-3)
