"""Hands of unknown side: predicted as the side that the network sees."""

import numpy as np
import pytest

from hiu_tf.config.presets import model_config
from hiu_tf.conventions import keys
from hiu_tf.evaluation.evaluate import measure
from hiu_tf.evaluation.predictors import network_predictor
from hiu_tf.evaluation.sides import as_seen, mirrored
from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.models.hiu import build_hiu
from hiu_tf.tasks import PAPER, find_tasks
from pipelines.build import evaluation_data

SIZE = 64


@pytest.fixture(scope="module")
def predict(hand):
    """A network that knows the side."""
    tasks = [*(task.name for task in PAPER), "side"]
    return network_predictor(build_hiu(model_config("tiny", {"tasks": tasks})), hand, tasks=find_tasks(tasks))


def project(points):
    seen = points @ virtual_intrinsics(SIZE).T
    return seen[..., :2] / seen[..., 2:]


def test_a_mirrored_prediction_is_one_of_the_mirrored_crop(predict, rng):
    """Its 3D joints project to its 2D joints still; mirrored twice it is as it was."""
    found = predict(rng.random((3, SIZE, SIZE, 3), np.float32))
    other = mirrored(found, SIZE)
    np.testing.assert_allclose(project(other[keys.JOINTS_3D]), other[keys.JOINTS_2D_PROJECTED], atol=1e-2)
    np.testing.assert_array_equal(other[keys.MASK], found[keys.MASK][:, :, ::-1])
    for name, value in mirrored(other, SIZE).items():
        np.testing.assert_allclose(value, found[name], atol=1e-5, err_msg=name)


def test_hands_of_unknown_side_are_read_as_they_look(predict, rng):
    image = rng.random((4, SIZE, SIZE, 3), np.float32)
    plain, other = predict(image), mirrored(predict(image[:, :, ::-1]), SIZE)
    sides = np.array([0.9, 0.1, 0.2, 0.8], np.float32)
    say = lambda crops: predict(crops) | {keys.RIGHT: sides[: len(crops)] if len(crops) == 4 else np.ones(len(crops))}
    found = as_seen(say, image, known=np.array([True, True, False, False]))
    for name in (keys.JOINTS_2D, keys.JOINTS_3D, keys.VERTICES, keys.MASK, keys.RENDERED_MASK):
        expected = np.where((np.arange(4) == 2).reshape([4] + [1] * (plain[name].ndim - 1)), other[name], plain[name])
        np.testing.assert_allclose(found[name], expected, atol=1e-4, err_msg=name)
    np.testing.assert_array_equal(found[keys.RIGHT], sides)


def test_left_hands_of_unknown_side_are_measured_as_well_as_right_ones(rendered_records):
    """A predictor that knows the joints of right hands alone, shown mirrored crops without a side."""
    batch = next(evaluation_data(rendered_records / "synthetic", "val", SIZE, 6).as_numpy_iterator())
    truth = {name: batch[name] for name in (keys.JOINTS_2D, keys.JOINTS_3D)}
    left = batch | mirrored(truth, SIZE) | {keys.IMAGE: batch[keys.IMAGE][:, :, ::-1]}

    def predict(image):
        is_right = [any(np.array_equal(one, shown) for shown in batch[keys.IMAGE]) for one in image]
        return truth | {keys.RIGHT: np.array(is_right, float)}

    def error(known):
        one = left | {keys.RIGHT_WEIGHT: np.full(6, known, np.float32)}
        return measure({"": predict}, [one], SIZE)[1][""].values["joints_2d_box_error"]

    assert error(known=0) < 1e-5 < 0.1 < error(known=1)
