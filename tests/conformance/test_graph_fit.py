"""The fit of exported graphs against the runtime's, on hands that a regressor places beside their heat maps."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.exporting.evidence_fit import GraphFit
from hiu_tf.exporting.module import HIUModule
from hiu_tf.fit.chain import Chain, Hands
from hiu_tf.fit.skin import Skin
from hiu_tf.geometry.camera import project, virtual_intrinsics
from hiu_tf.geometry.rotation import axis_angle, rotation_matrix
from hiu_tf.geometry.window import around_box
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.poses import sample_pose
from hiu_tf.pictures import read_picture
from hiu_tf.runtime.crop import cut
from hiu_tf.runtime.evidence_fit import EvidenceFit
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.training.folder import load_run
from tests.places import SHIPPED

SAMPLE = Path(__file__).parents[2] / "hiu_tf" / "web" / "site" / "sample.jpg"
COUNT, SIZE = 6, 128


@pytest.fixture
def raw(any_hand, rng):
    """Outputs for hands whose parameters are off, with heat maps of the true hands; the last one's maps are empty."""
    hand, camera = any_hand, virtual_intrinsics(SIZE).astype(float)
    true = Hands(
        rng.normal(0, 0.7, (COUNT, 10)),
        np.stack([sample_pose(rng) for _ in range(COUNT)]),
        rotation_matrix(rng.normal(0, 1.5, (COUNT, 3))),
        np.array([0, 0.05, 0.6]) + rng.normal(0, 0.02, (COUNT, 3)),
    )
    said = true.moved(rng.normal(0, 0.08, (COUNT, 61)))
    joints = Chain(hand).joints(said)
    scores = rng.uniform(0.1, 1.0, (COUNT, 21))
    scores[-1] = 0.1
    found = {
        keys.JOINTS_2D: project(Chain(hand).joints(true), camera) + rng.normal(0, 0.5, (COUNT, 21, 2)),
        keys.SCORES: scores,
        keys.JOINTS_3D: joints,
        keys.VERTICES: Skin(hand)(said),
        keys.JOINTS_2D_PROJECTED: project(joints, camera),
        keys.SHAPE: said.shape,
        keys.POSE: said.pose,
        keys.ROTATION: axis_angle(said.rotation),
        keys.TRANSLATION: said.translation,
    }
    found[keys.JOINTS_2D][-1] = SIZE / 2  # where maps are empty, all joints are read in one place
    return {name: value.astype(np.float32) for name, value in found.items()}


@pytest.mark.long
def test_it_is_the_runtimes_fit(any_hand, raw):
    hand = any_hand
    found = tf.function(GraphFit(hand, SIZE))({name: tf.constant(value) for name, value in raw.items()})
    runtime = EvidenceFit(hand, virtual_intrinsics(SIZE).astype(float))
    for k in range(COUNT):
        expected = runtime({name: value[k] for name, value in raw.items()})
        for name, limit in ((keys.SHAPE, 1e-3), (keys.POSE, 1e-3), (keys.JOINTS_3D, 2e-5), (keys.VERTICES, 2e-5), (keys.JOINTS_2D_PROJECTED, 0.02)):  # fmt: skip
            np.testing.assert_allclose(found[name][k], expected[name], atol=limit, err_msg=f"{k} {name}")
    posed = pose_hand(hand, *(found[name] for name in (keys.SHAPE, keys.POSE, keys.ROTATION, keys.TRANSLATION)))
    np.testing.assert_allclose(found[keys.JOINTS_3D][:-1], posed[keys.JOINTS_3D][:-1], atol=2e-5)
    moved = np.linalg.norm(found[keys.JOINTS_2D_PROJECTED] - raw[keys.JOINTS_2D_PROJECTED], axis=-1).mean(axis=1)
    assert moved[:-1].min() > 0.5 and moved[-1] < 0.01


@pytest.mark.slow
def test_the_signature_located_of_the_shipped_model(hand):
    """The hands of a photograph: the fitted mesh lies on the heat maps' joints, as the runtime's does."""
    shipped = load_run(SHIPPED)
    picture = read_picture(SAMPLE)
    predictor = Predictor(threads=1)
    boxes = np.array([hand.box for hand in predictor(picture)], np.float32)
    given = {
        "image_bytes": tf.constant([SAMPLE.read_bytes()] * len(boxes)),
        keys.BOX: tf.constant(boxes),
        keys.SIDE: tf.zeros([len(boxes)], tf.int32),
        keys.INTRINSICS: tf.zeros([len(boxes), 3, 3]),
    }
    plain, fitted = (HIUModule(shipped.network, shipped.hand, fits=fits) for fits in (False, True))
    found = fitted.signatures()["located"](**given)
    crops = np.stack([cut(picture, around_box(box, plain.size)) for box in boxes])
    raw = {name: value.numpy() for name, value in plain.predict(tf.constant(crops)).items()}
    fit = EvidenceFit(hand, virtual_intrinsics(plain.size).astype(float))
    for k in range(len(boxes)):
        expected = fit({name: value[k] for name, value in raw.items()})
        np.testing.assert_allclose(found[keys.POSE][k], expected[keys.POSE], atol=0.05)
        np.testing.assert_allclose(found[keys.VERTICES][k], expected[keys.VERTICES], atol=2e-3)
    nothing = {name: value[:0] for name, value in given.items()}
    assert fitted.signatures()["located"](**nothing)[keys.VERTICES].shape[0] == 0
