"""The task "side": crops of hands shown as the other side, which label nothing else, and the choice at run time."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.codecs.centres import Found
from hiu_tf.config.load import load_recipe
from hiu_tf.config.schema import AugmentConfig
from hiu_tf.conventions import keys
from hiu_tf.errors import ConfigError
from hiu_tf.geometry.window import Window
from hiu_tf.losses.total import sample_errors, sample_weights, without_unlabelled
from hiu_tf.runtime.looks import CONVINCED, Candidate, Look, left_odds
from hiu_tf.tasks import find_tasks
from hiu_tf.tasks.agreement import AGREEMENTS
from hiu_tf.tasks.hand import HAND
from hiu_tf.tasks.side import SIDE
from pipelines.build import finish, training_data
from pipelines.crop import cut_pictures, place
from pipelines.records import parse, read_index
from pipelines.schema import UNKNOWN
from tests.places import RECIPES

SIZE = 64
PLAIN = AugmentConfig(rotation_deg=0.0, crop_scale=(1.5, 1.5), translation=0.0)
SEED = tf.constant([3, 4], tf.int64)


@pytest.fixture(scope="module")
def records(rendered_records):
    shards, _ = read_index(rendered_records / "synthetic", "val")
    return next(iter(tf.data.TFRecordDataset(shards).repeat(20).batch(120).map(lambda r: parse(r, mesh=True))))


@pytest.fixture(scope="module")
def placed(records):
    return place(records, SIZE, replace(PLAIN, wrong_side_probability=0.25), SEED)


def test_a_share_is_shown_as_the_other_side(records, placed):
    """Its crop is the plain crop in a mirror; all others are untouched."""
    wrong = placed[keys.RIGHT].numpy() == 0
    assert 0.1 < wrong.mean() < 0.4
    plain = place(records, SIZE, PLAIN, SEED)
    assert np.all(plain[keys.RIGHT] == 1)
    crops = [cut_pictures(dict(batch), SIZE)[keys.IMAGE].numpy().astype(int) for batch in (plain, placed)]
    np.testing.assert_array_equal(crops[1][~wrong], crops[0][~wrong])
    assert np.abs(crops[1][wrong] - crops[0][wrong, :, ::-1]).mean() < 1.0
    assert np.abs(crops[1][wrong] - crops[0][wrong]).mean() > 5.0


def test_it_keeps_the_labels_of_mask_and_side_alone(records, placed):
    wrong = placed[keys.RIGHT].numpy() == 0
    for key in (keys.JOINTS_2D_WEIGHT, keys.JOINTS_3D_WEIGHT, keys.HAS_MESH, keys.HAS_PARAMETERS):
        assert not np.any(placed[key].numpy()[wrong]), key
        np.testing.assert_array_equal(placed[key].numpy()[~wrong] > 0, records[key].numpy()[~wrong] > 0)
    np.testing.assert_array_equal(placed[keys.MASK_WEIGHT], records[keys.MASK_WEIGHT])
    np.testing.assert_allclose(placed[keys.RIGHT_WEIGHT], np.where(wrong, 3.0, 1.0))


def test_hands_of_unknown_side_stay_and_teach_nothing(records):
    nobody = records | {keys.SIDE: tf.fill(records[keys.SIDE].shape, UNKNOWN)}
    placed = place(nobody, SIZE, replace(PLAIN, wrong_side_probability=0.9), SEED)
    assert np.all(placed[keys.RIGHT] == 1) and not np.any(placed[keys.RIGHT_WEIGHT])


def test_the_loss_is_cross_entropy_and_skips_the_unknown():
    logits = np.array([[2.0], [-1.0], [5.0]], np.float32)
    labels = {keys.RIGHT: tf.constant([[1.0], [0.0], [0.0]]), keys.RIGHT_WEIGHT: tf.constant([1.0, 3.0, 0.0])}
    labels = without_unlabelled(labels, [SIDE])
    errors = sample_errors(SIDE.losses, labels, [{keys.RIGHT_LOGIT: tf.constant(logits)}])["side"]
    expected = [math.log(1 + math.exp(-2)), 3 * math.log(1 + math.exp(-1)), 0]
    np.testing.assert_allclose(errors[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(sample_weights(SIDE.losses, labels)["side"], [1, 3, 0])


def test_the_silhouette_leaves_out_hands_that_are_not_shown_whole():
    """Sums of weights and errors agree about it."""
    labels = {
        keys.WHOLE: tf.constant([1.0, 1.0, 0.0]),
        keys.MASK: tf.zeros([3, 8, 8, 1]),
        keys.MASK_WEIGHT: tf.ones(3),
    }
    silhouette = {"silhouette": HAND.losses["silhouette"]}
    cleaned = without_unlabelled(labels, [SIDE, HAND])
    errors = sample_errors(silhouette, cleaned, [{keys.RENDERED_MASK: tf.ones([3, 8, 8])}])["silhouette"]
    np.testing.assert_array_equal(errors[0], [1, 1, 0])
    np.testing.assert_array_equal(sample_weights(silhouette, labels)["silhouette"], [1, 1, 0])


def test_the_mesh_may_go_on_beyond_the_picture():
    """Neither masks nor agreement say anything about pixels that the picture does not have: no error, no gradient."""
    inside = np.ones([1, 8, 8, 1], np.float32)
    inside[:, 6:] = 0
    labels = {keys.MASK: tf.constant(inside), keys.IN_PICTURE: tf.constant(inside)}
    for loss in (HAND.losses["silhouette"], AGREEMENTS["ssl_mask"]):
        rendered = tf.Variable(tf.ones([1, 8, 8]))
        with tf.GradientTape() as tape:
            error = loss.error(labels, {keys.RENDERED_MASK: rendered, keys.MASK: tf.constant(0.5 * inside[..., 0])})
        gradient = tape.gradient(error, rendered).numpy()
        assert not gradient[:, 6:].any()
        assert error.numpy() == pytest.approx(0.0 if loss is HAND.losses["silhouette"] else 0.5 * 48 / 64)


def test_the_recipe_that_ships_trains_it(rendered_records):
    """Targets of both sides come out of its pipeline; the augmentation without the task, or the reverse, is refused."""
    recipe = load_recipe(RECIPES / "hiu_mobile.yaml", ["augment.backgrounds=[]"])
    recipe = replace(
        recipe, data={"synthetic": replace(recipe.data["synthetic"], path="synthetic")},
        train=replace(recipe.train, batch_size=48, validate=()),
    )  # fmt: skip
    assert SIDE in find_tasks(recipe.network["tasks"])
    _, targets = finish(next(iter(training_data(recipe, rendered_records, SIZE))), recipe, SIZE)
    assert set(np.unique(targets[keys.RIGHT])) == {0.0, 1.0}
    wrong = targets[keys.RIGHT].numpy()[:, 0] == 0
    assert not np.any(targets[keys.HEATMAPS_WEIGHT].numpy()[wrong]) and not np.any(
        targets[keys.SSL_WEIGHT].numpy()[wrong]
    )
    for changed in (
        replace(recipe, network={**recipe.network, "tasks": ["heatmaps", "mask", "pof", "hand"]}),
        replace(recipe, augment=replace(recipe.augment, wrong_side_probability=0.0)),
    ):
        with pytest.raises(ConfigError, match="need each other"):
            training_data(changed, rendered_records, SIZE)


def look(mirrored, left, **raw):
    raw = {name: np.array(value, np.float32) for name, value in raw.items()}
    window = Window((2.0, 2.0), 4.0, SIZE, mirrored, 0.0)
    return Look(Candidate(np.zeros((4, 4, 3), np.uint8), [window], left), window, raw)


def test_evidence_of_a_side_adds_network_and_detector():
    """Log odds of both; opposite sides of one hand contradict each other."""
    left = left_odds(Found((0, 0, 1, 1), np.zeros(2), 0.8, 1.0))
    assert left == pytest.approx(math.log(4))
    own = math.log(0.9 / 0.1)
    assert look(True, left, right=0.9).evidence == pytest.approx(own + left, rel=1e-4)
    assert look(False, left, right=0.1).evidence == pytest.approx(-own - left, rel=1e-4)
    assert look(True, left, right=0.9).is_convinced == (own + left > CONVINCED)
    assert not look(False, left, right=0.9).is_convinced


def test_without_the_task_scores_and_detector_decide():
    """.03 of the mean score count as one in log odds, and only the detector can convince."""
    left = left_odds(Found((0, 0, 1, 1), np.zeros(2), 0.75, 1.0))
    scores = lambda mean: np.full(21, mean)
    right, other = look(False, left, joint_scores=scores(0.8)), look(True, left, joint_scores=scores(0.76))
    assert right.evidence > other.evidence  # .04 / .03 > log(3)
    assert other.evidence > look(False, left, joint_scores=scores(0.79)).evidence  # .03 / .03 < log(3)
    assert not right.is_convinced and look(False, -3.0, joint_scores=scores(0.1)).is_convinced
