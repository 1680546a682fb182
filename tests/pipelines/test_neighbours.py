"""Second hands in the background of labelled ones."""

import numpy as np
import pytest
import tensorflow as tf

from pipelines import neighbours
from pipelines.neighbours import add_neighbours

SEED, SIZE = tf.constant([3, 5], tf.int64), 32


@pytest.fixture
def batch(rng):
    """Four hands, bright squares of their own grey in front of black; the last one has no mask."""
    mask = np.zeros((4, SIZE, SIZE, 1), np.float32)
    mask[:, 10:22, 10:22] = 1
    image = mask * np.array([0.4, 0.6, 0.8, 1.0], np.float32)[:, None, None, None] * np.ones(3, np.float32)
    return tf.constant(image), tf.constant(mask), tf.constant(1 - mask), tf.constant([1.0, 1, 1, 0])


def test_hands_keep_their_pixels_and_get_those_of_the_one_before(batch):
    image, mask, behind, weight = batch
    found = add_neighbours(image, mask, behind, weight, 1.0, SEED).numpy()
    own = mask.numpy()[..., 0] > 0
    np.testing.assert_array_equal(found[own], image.numpy()[own])
    for sample, before in ((1, 0.4), (2, 0.6)):
        new = found[sample][~own[sample]]
        assert new.max() == pytest.approx(before, abs=1e-5)
        assert 0.01 < (new > 0.9 * before).mean() < 0.3
    np.testing.assert_array_equal(found[3], image[3]), "its own mask is not known"
    np.testing.assert_array_equal(found[0], image[0]), "the mask of the one before is not known"


def test_nothing_is_drawn_beyond_the_picture(batch):
    image, mask, behind, weight = batch
    found = add_neighbours(image, mask, tf.zeros_like(behind), weight, 1.0, SEED)
    np.testing.assert_array_equal(found, image)


def test_a_share_of_the_hands(rng):
    many = 400
    mask = np.zeros((many, SIZE, SIZE, 1), np.float32)
    mask[:, 10:22, 10:22] = 1
    image = np.repeat(mask, 3, axis=-1)
    found = add_neighbours(image, mask, 1 - mask, np.ones(many, np.float32), 0.3, SEED).numpy()
    changed = (found != image).any(axis=(1, 2, 3)).mean()
    assert 0.2 < changed < 0.35, "some second hands lie outside of the crop"


def test_where_a_second_hand_lies(monkeypatch):
    """A point in the middle of its crop comes to lie as far from the middle as was drawn."""
    monkeypatch.setattr(neighbours, "_FAR", (0.4, 0.4))
    monkeypatch.setattr(neighbours, "_SCALE", (1.0, 1.0))
    size = 65
    mask = np.zeros((8, size, size, 1), np.float32)
    mask[:, 32, 32] = 1
    found = add_neighbours(np.repeat(mask, 3, -1), mask, 1 - mask, np.ones(8, np.float32), 1.0, SEED).numpy()
    for sample in found[..., 0]:
        sample[32, 32] = 0
        rows, columns = np.nonzero(sample > 0)
        middle = np.average(np.stack([rows, columns], 1), axis=0, weights=np.sqrt(sample[rows, columns])) - 32
        assert np.hypot(*middle) == pytest.approx(0.4 * (size - 1), abs=0.02)


def test_equal_seeds_equal_pictures_also_in_a_pipeline(batch):
    draw = lambda *parts: add_neighbours(*parts, 0.7, SEED)
    (piped,) = tf.data.Dataset.from_tensors(batch).map(draw)
    np.testing.assert_allclose(draw(*batch), piped, atol=1e-6)
