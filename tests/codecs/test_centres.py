import numpy as np
import pytest

from hiu_tf.codecs.centres import (
    CENTRE,
    CHANNELS,
    DIRECTION,
    LEFT,
    OFFSET,
    PRIOR_LOGIT,
    SIZE,
    STRIDE,
    decode,
    encode,
    found_in_picture,
    overlap,
)
from hiu_tf.geometry.letterbox import letterbox

CELLS = 40


def ideal_maps(hands):
    """Output of a network that predicts its targets perfectly."""
    targets = encode(hands, CELLS)
    maps = np.zeros((CELLS, CELLS, CHANNELS), np.float32)
    share = np.clip(targets["centre"], 1e-4, 1 - 1e-4)
    maps[..., CENTRE] = np.log(share / (1 - share)) - PRIOR_LOGIT
    maps[..., OFFSET], maps[..., SIZE] = targets["box"][..., :2], targets["box"][..., 2:]
    maps[..., DIRECTION], maps[..., LEFT] = 3 * targets["direction"], 10 * (2 * targets["left"] - 1)
    return maps


def some_hands(rng, count=3):
    """Boxes in different quarters of the square, so that none covers another."""
    rows = []
    for k in range(count):
        corner = 80 * np.array([k % 2, k // 2])
        size = rng.uniform(9, 50, 2)
        x, y = corner + rng.uniform(0, 78 - size)
        angle = rng.uniform(-np.pi, np.pi)
        rows.append([x, y, *size, np.cos(angle), np.sin(angle), rng.integers(2), 1])
    return np.array(rows)


@pytest.mark.parametrize("seed", range(10))
def test_decoding_undoes_encoding(seed):
    hands = some_hands(np.random.default_rng(seed), 4)
    found = decode(ideal_maps(hands), 0.5)
    assert len(found) == len(hands)
    for hand in hands:
        best = max(found, key=lambda f: overlap(f.box, hand[:4]))
        np.testing.assert_allclose(best.box, hand[:4], atol=1e-3)
        np.testing.assert_allclose(best.direction, hand[4:6], atol=1e-5)
        assert (best.left > 0.5) == hand[6]


def test_a_centre_is_where_its_pixels_say():
    """Cell (0, 0) covers pixels 0..3, whose middle is 1.5: a box around it has no offset."""
    targets = encode(np.array([[-0.5, -0.5, 4.0, 4.0, 0, 0, -1, 1]]), CELLS)
    assert targets["centre"][0, 0] == 1
    np.testing.assert_allclose(targets["box"][0, 0], [0, 0, 0, 0], atol=1e-6)
    assert STRIDE == 4


def test_every_label_weighs_one_hand(rng):
    hands = some_hands(rng)
    hands[0, 4:6], hands[1, 6] = 0, -1
    targets = encode(hands, CELLS)
    assert targets["box_weight"].sum() == pytest.approx(3, abs=1e-4)
    assert targets["direction_weight"].sum() == pytest.approx(2, abs=1e-4)
    assert targets["left_weight"].sum() == pytest.approx(2, abs=1e-4)


def test_what_does_not_count_teaches_nothing(rng):
    hands = some_hands(rng)
    hands[1, 7] = 0
    targets = encode(hands, CELLS)
    x, y, width, height = hands[1, :4] / STRIDE
    inside = targets["centre_weight"][int(y + 1) : int(y + height), int(x + 1) : int(x + width)]
    assert not inside.any() and targets["box_weight"].sum() == pytest.approx(2, abs=1e-4)
    assert targets["centre_weight"].mean() > 0.5


def test_no_hands_are_no_hands():
    targets = encode(np.zeros((0, 8)), CELLS)
    assert not targets["centre"].any() and targets["centre_weight"].all() and not targets["box_weight"].any()
    assert decode(np.zeros((CELLS, CELLS, CHANNELS), np.float32), 0.1) == []


def test_one_hand_is_found_once(rng):
    """Of two peaks with the same box, the one with the higher score is kept."""
    maps = ideal_maps(np.array([[40.0, 40, 60, 60, 1, 0, 0, 1]]))
    row = maps[17, 17].copy()
    maps[19, 19] = row
    maps[19, 19, CENTRE] = maps[17, 17, CENTRE] + 1
    maps[19, 19, OFFSET] -= 2
    assert len(decode(maps, 0.5)) == 1


@pytest.mark.parametrize("shape", ((300, 200, 3), (90, 400, 3), (64, 64, 3)))
def test_letterbox_keeps_places(shape, rng):
    picture = np.zeros(shape, np.uint8)
    x, y = int(0.7 * shape[1]), int(0.3 * shape[0])
    picture[y - 3 : y + 4, x - 3 : x + 4] = 255
    square, where = letterbox(picture, 160)
    rows, columns = np.nonzero(square[..., 0] > 100)
    np.testing.assert_allclose(where.to_square([x, y]), [columns.mean(), rows.mean()], atol=0.5)
    points = rng.uniform(0, 60, (5, 2))
    np.testing.assert_allclose(where.to_picture(where.to_square(points)), points)
    found = decode(ideal_maps(np.array([[40.0, 60, 30, 20, 1, 0, 0, 1]])), 0.5)[0]
    box = found_in_picture(found, where).box
    np.testing.assert_allclose(where.to_square(box[:2]), [40, 60], atol=1e-3)
    assert box[2] * where.scale == pytest.approx(30, abs=1e-3)
