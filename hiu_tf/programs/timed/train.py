"""Times a training step, part by part, relative to the device's speed in one large convolution."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from hiu_tf.config.presets import model_config
from hiu_tf.programs.timed.input import pipeline_rate
from hiu_tf.programs.timed.timing import in_own_process, median_ms, peak_megabytes

_BATCH, _SIZE, _CHANNELS = 8, 64, 256  # size of the reference convolution
_STEP = 3  # MACs of forward and both gradients per MAC of the forward pass


def train_tables(
    preset: str, batches: list[int], stacks: list[int], precision: str, data: str | None = None
) -> list[list[dict]]:
    """Shares of a step for each batch size, and growth with the number of stacks at the first batch size.

    The input pipeline (of records in `data`, or rendered ones) runs in parallel with the network: its share is the
    time it would take alone on the same cores.
    """
    shares = [in_own_process(step_row, preset, None, batch, precision) for batch in batches]
    for row, batch in zip(shares, batches):
        rate = pipeline_rate(data, batch, model_config(preset).image_size)
        row["input / step"] = row["images/s"] / rate
    grown = [in_own_process(step_row, preset, k, batches[0], precision) for k in stacks]
    kept = ("preset", "stacks", "batch", "step ms", "images/s", "of reference", "peak MB")
    return [shares, *([[{name: row[name] for name in kept} for row in grown]] if grown else [])]


class _Job(NamedTuple):
    """Objects for the timing: a network, its trainer, a batch and its targets."""

    network: object
    hand: object
    trainer: object
    crops: dict
    targets: dict


def step_row(preset: str, stacks: int | None, batch: int, precision: str) -> dict:
    """One network and batch size: a step, the share of each part in it, and its FLOP/s."""
    import tensorflow as tf

    from hiu_tf.conventions import keys
    from hiu_tf.models.cost import macs
    from pipelines.targets import targets

    config = model_config(preset, {"stacks": stacks} if stacks else {})
    job = _job(config, batch, precision)
    step = tf.function(job.trainer.train_step, autograph=False)
    whole = median_ms(step, [(job.crops[keys.IMAGE], job.targets)])
    forward, both = median_ms(_forward(job)), median_ms(_backward(job))
    parts = {
        "forward": forward,
        "backward": both - forward,
        "hand layer": config.stacks * median_ms(_hand_layer(job)),
        "silhouette": config.stacks * median_ms(_silhouette(job)),
        "targets": median_ms(
            tf.function(lambda crops: targets(crops, config.image_size), autograph=False), [job.crops]
        ),
    }
    achieved = 2 * _STEP * macs(job.network) * batch / 1e6
    peak, reference = peak_megabytes(), reference_gflops(precision)
    row = {
        "preset": preset,
        "stacks": config.stacks,
        "batch": batch,
        "step ms": whole,
        "images/s": 1000 * batch / whole,
    }
    row |= {f"{name} / step": ms / whole for name, ms in parts.items()}
    row |= {"GFLOP/s": achieved / whole, "reference GFLOP/s": reference, "of reference": achieved / whole / reference}
    return row | {"network alone, of reference": achieved / both / reference, "peak MB": peak}


def reference_gflops(precision: str) -> float:
    """GFLOP/s of this device in one large 3x3 convolution, forward pass and both gradients."""
    import tensorflow as tf

    dtype = {"float32": tf.float32, "mixed_float16": tf.float16, "mixed_bfloat16": tf.bfloat16}[precision]
    image = tf.cast(tf.random.normal([_BATCH, _SIZE, _SIZE, _CHANNELS]), dtype)
    kernel = tf.cast(tf.random.normal([3, 3, _CHANNELS, _CHANNELS]), dtype)

    @partial(tf.function, autograph=False)
    def step(image, kernel):
        with tf.GradientTape() as tape:
            tape.watch([image, kernel])
            total = tf.reduce_sum(tf.cast(tf.nn.conv2d(image, kernel, 1, "SAME"), tf.float32) ** 2)
        return [tf.reduce_sum(tf.cast(gradient, tf.float32)) for gradient in tape.gradient(total, [image, kernel])]

    macs = _BATCH * _SIZE * _SIZE * _CHANNELS * _CHANNELS * 9
    return 2 * _STEP * macs / median_ms(step, [image, kernel]) / 1e6


def _job(config, batch, precision):
    """Makes a trainer with the default losses, and a fully labelled batch."""
    from hiu_tf.config.schema import LossConfig, TrainConfig
    from hiu_tf.hand.load import load_hand
    from hiu_tf.models.hiu import build_hiu
    from hiu_tf.tasks import find_tasks
    from hiu_tf.training.optimizer import build_optimizer
    from hiu_tf.training.run import precision_policy
    from hiu_tf.training.trainer import HIUTrainer
    from pipelines.targets import targets

    settings, hand = TrainConfig(batch_size=batch, precision=precision), load_hand("procedural")
    with precision_policy(precision):
        network = build_hiu(config)
    tasks = find_tasks(config.tasks)
    trainer = HIUTrainer(network, hand, LossConfig(), settings, tasks=tasks)
    trainer.compile(build_optimizer(settings))
    crops = _crops(batch, config.image_size)
    return _Job(network, hand, trainer, crops, targets(crops, config.image_size, tasks=tasks))


def _crops(batch, size):
    """Crops of noise: the content of pictures does not affect the time."""
    import tensorflow as tf

    from hiu_tf.conventions import keys
    from hiu_tf.conventions.skeleton import NUM_JOINTS

    generator = tf.random.Generator.from_seed(1)
    uniform = lambda *shape, high=1.0: generator.uniform([batch, *shape], 0.0, high)
    ones = lambda *shape: tf.ones([batch, *shape])
    return {
        keys.IMAGE: uniform(size, size, 3), keys.MASK: uniform(size, size, 1), keys.MASK_WEIGHT: ones(),
        keys.JOINTS_2D: uniform(NUM_JOINTS, 2, high=float(size)), keys.JOINTS_2D_WEIGHT: ones(NUM_JOINTS),
        keys.JOINTS_3D: uniform(NUM_JOINTS, 3), keys.JOINTS_3D_WEIGHT: ones(NUM_JOINTS), keys.SSL_WEIGHT: ones(),
        keys.WHOLE: ones(),
    }  # fmt: skip


def _outputs(job):
    import tensorflow as tf

    from hiu_tf.conventions import keys

    outputs = job.network(job.crops[keys.IMAGE], training=True)
    return tf.add_n([tf.reduce_sum(tf.cast(value, tf.float32)) for value in tf.nest.flatten(outputs)])


def _forward(job):
    import tensorflow as tf

    return tf.function(lambda: _outputs(job), autograph=False)


def _backward(job):
    return _differentiated(lambda: _outputs(job), job.network.trainable_variables)


def _hand_layer(job):
    import tensorflow as tf

    from hiu_tf.conventions import keys
    from hiu_tf.hand.layer import pose_hand

    parameters = [tf.Variable(value) for value in _hand_parameters(job)]

    def total():
        posed = pose_hand(job.hand, *map(tf.identity, parameters))
        return tf.reduce_sum(posed[keys.VERTICES]) + tf.reduce_sum(posed[keys.JOINTS_3D])

    return _differentiated(total, parameters)


def _silhouette(job):
    import tensorflow as tf

    from hiu_tf.conventions import keys
    from hiu_tf.geometry.camera import virtual_intrinsics
    from hiu_tf.hand.layer import pose_hand
    from hiu_tf.render.silhouette import silhouette

    size = job.network.input_shape[1]
    vertices = tf.Variable(pose_hand(job.hand, *_hand_parameters(job))[keys.VERTICES])
    mask = lambda: silhouette(tf.identity(vertices), job.hand.closed_faces, virtual_intrinsics(size), size)
    return _differentiated(lambda: tf.reduce_sum(mask()), [vertices])


def _hand_parameters(job):
    import tensorflow as tf

    from hiu_tf.conventions import keys

    outputs = job.network(job.crops[keys.IMAGE], training=False)[-1]
    return [tf.cast(outputs[name], tf.float32) for name in (keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION)]


def _differentiated(total, variables):
    """A graph that computes the gradients and returns one number."""
    import tensorflow as tf

    def step():
        with tf.GradientTape() as tape:
            value = total()
        gradients = tape.gradient(value, variables, unconnected_gradients="zero")
        return tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])

    return tf.function(step, autograph=False)
