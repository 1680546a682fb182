"""An untrained network can learn at any depth: similar gradient norms in all parts, falling losses in all stacks."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from hiu_tf.config.presets import model_config
from hiu_tf.config.schema import LossConfig, TrainConfig
from hiu_tf.conventions import keys
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.geometry.tensor.camera import project
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.procedural import procedural_hand
from hiu_tf.losses.total import sample_weights
from hiu_tf.models.hiu import build_hiu
from hiu_tf.models.regressor import REFERENCE_POSITION, REFERENCE_VIEW
from hiu_tf.training.optimizer import build_optimizer
from hiu_tf.training.trainer import HIUTrainer
from pipelines.targets import targets

SIZE, BATCH, STEPS = 64, 4, 30
#: Limit of the ratio between the largest and the smallest gradient norm of the parts of an untrained network.
SPREAD = 200
#: Maximum share of each loss left after STEPS steps on one batch, in every stack. Losses of sparse maps fall last.
LEFT = {"mask": 0.75, "joints_2d": 0.6, "bone_direction": 0.5, "joints_3d": 0.6}
LOSSES = LossConfig(
    {"ssl_mask": 0.0, "ssl_joints": 0.0, "silhouette": 0.0, "joints_3d": 30.0, "pose_prior": 0.1, "shape_prior": 0.1}
)
TRAINING = TrainConfig(batch_size=BATCH, learning_rate=1e-3, warmup_steps=5)


def batch(rng):
    """Pictures with discs in place of hands, with all labels of posed hands."""
    hand = procedural_hand()
    pose = tf.constant(rng.normal(0, 0.3, (BATCH, 15, 3)), tf.float32)
    view = tf.constant(REFERENCE_VIEW + rng.normal(0, 0.3, (BATCH, 3)), tf.float32)
    posed = pose_hand(hand, tf.zeros([BATCH, 10]), pose, view, tf.tile(REFERENCE_POSITION[np.newaxis], [BATCH, 1]))
    joints_2d = project(posed[keys.JOINTS_3D], virtual_intrinsics(SIZE))
    y, x = np.mgrid[:SIZE, :SIZE]
    near = [np.hypot(x[..., None] - j[:, 0], y[..., None] - j[:, 1]).min(axis=-1) < 6 for j in joints_2d.numpy()]
    mask = tf.constant(np.stack(near)[..., np.newaxis], tf.float32)
    image = 0.3 + 0.4 * mask + tf.constant(rng.normal(0, 0.05, (BATCH, SIZE, SIZE, 3)), tf.float32)
    ones = tf.ones([BATCH, 21])
    labels = {
        keys.JOINTS_2D: joints_2d, keys.JOINTS_2D_WEIGHT: ones, keys.JOINTS_3D: posed[keys.JOINTS_3D],
        keys.JOINTS_3D_WEIGHT: ones, keys.MASK: mask, keys.MASK_WEIGHT: ones[:, 0], keys.SSL_WEIGHT: ones[:, 0], keys.WHOLE: ones[:, 0],
    }  # fmt: skip
    return image, targets(labels, SIZE)


def check(name, rng, **changes):
    keras.utils.set_random_seed(1)
    network = build_hiu(model_config(name, {"image_size": SIZE, **changes}))
    trainer = HIUTrainer(network, procedural_hand(), LOSSES, TRAINING)
    trainer.compile(build_optimizer(TRAINING))
    image, gt = batch(rng)
    totals = {name: tf.reduce_sum(weight) for name, weight in sample_weights(trainer.losses_by_name, gt).items()}

    gradients, before, _ = trainer._gradients(image, gt, totals)
    norms = dict(zip(trainer.part_norms.names, trainer.part_norms.norms(gradients).numpy()))
    assert np.isfinite(list(norms.values())).all()
    assert max(norms.values()) < SPREAD * min(norms.values()), norms

    step = tf.function(trainer.train_step, autograph=False)
    for _ in range(STEPS):
        step((image, gt))
    _, after, _ = trainer._gradients(image, gt, totals)
    for loss, share in LEFT.items():
        fallen = [tf.reduce_mean(found[loss], axis=1).numpy() for found in (before, after)]
        assert (fallen[1] < share * fallen[0]).all(), (loss, *fallen)


@pytest.mark.long
def test_a_narrow_network_learns(rng):
    check("tiny", rng, stacks=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hiu_small_64_4stack_equal", "hiu_1stack", "hiu_2stack", "hiu_4stack", "hiu_8stack"])
def test_the_papers_networks_learn(name, rng):
    check(name, rng)
