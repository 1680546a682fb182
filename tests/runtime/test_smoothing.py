from types import SimpleNamespace

import numpy as np
import pytest

from hiu_tf.runtime import smoothing
from hiu_tf.runtime.smoothing import MeanShape, Smoother

RATE = 25


@pytest.fixture
def hands(rng, monkeypatch):
    """A function (centres [T, 2], noise) -> hands of 60 px around the centres."""
    monkeypatch.setattr(smoothing, "replace", lambda hand, **values: SimpleNamespace(**{**vars(hand), **values}))
    shape = rng.uniform(-30, 30, (21, 2))

    def make(centres, noise):
        for centre in centres:
            flat = shape + centre + noise * rng.normal(size=(21, 2)) + noise * rng.normal(size=2)
            deep = np.concatenate([flat / 1000, np.ones((21, 1))], axis=1)
            yield SimpleNamespace(frame="crop", side="left", joints_2d=flat, joints_2d_projected=flat, vertices_2d=flat, joints_3d=deep, vertices=deep)  # fmt: skip

    return make


def test_a_hand_at_rest_becomes_steadier(hands):
    raw = list(hands(np.full((150, 2), 100.0), 1.0))
    spread = lambda found: np.std(np.diff([hand.joints_2d for hand in found[20:]], axis=0))
    for strength, factor in ((0.5, 0.6), (1.0, 0.35)):
        assert spread(list(map(Smoother(RATE, strength), raw))) < factor * spread(raw)


def test_a_moving_hand_lags_little(hands):
    """At a speed of two hand sizes per second, the lag is below a tenth of its size at the default strength."""
    centres = np.stack([100 + 120 / RATE * np.arange(60), np.full(60, 50.0)], axis=1)
    raw = list(hands(centres, 0.0))
    smoothed = list(map(Smoother(RATE, 0.5), raw))
    lag = np.linalg.norm(raw[-1].joints_2d.mean(axis=0) - smoothed[-1].joints_2d.mean(axis=0))
    assert lag < 0.1 * 60


def test_strength_0_changes_nothing_and_points_stay_together(hands):
    raw = list(hands(np.full((10, 2), 100.0), 2.0))
    assert list(map(Smoother(RATE, 0.0), raw)) == raw
    for hand in map(Smoother(RATE, 0.7), raw):
        np.testing.assert_allclose(hand.joints_3d[:, :2] * 1000, hand.joints_2d, atol=1e-9)


def test_a_hand_that_changes_its_side_is_not_mixed_with_its_mirror_image(hands):
    raw = list(hands(np.full((4, 2), 100.0), 2.0))
    raw[2].side = raw[3].side = "right"
    smoothed = list(map(Smoother(RATE, 0.9), raw))
    unchanged = [np.array_equal(one.vertices, other.vertices) for one, other in zip(raw, smoothed)]
    assert unchanged == [True, False, True, False]


def test_the_shape_is_the_weighted_mean_of_all_frames(rng):
    shapes, scores, mean = rng.normal(size=(7, 10)), rng.uniform(0, 1, 7), MeanShape()
    found = [mean(shape, score) for shape, score in zip(shapes, scores)]
    np.testing.assert_allclose(found[-1], scores @ shapes / scores.sum(), atol=1e-12)
    np.testing.assert_allclose(found[0], shapes[0], atol=1e-12)
    assert np.isfinite(MeanShape()(shapes[0], 0.0)).all()
