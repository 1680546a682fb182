"""Orders of the 21 key points, against the names in the data sets' own files."""

import numpy as np
import pytest

from hiu_tf.conventions.skeleton import JOINT_NAMES, ORDERS, reorder
from hiu_tf.errors import UserError

#: The first, sixth and last point of each order, in our names.
KNOWN = {
    "rhd": {0: "wrist", 1: "thumb4", 4: "thumb1", 5: "index4", 20: "little1"},
    "stb": {1: "little1", 4: "little4", 5: "ring1", 17: "thumb1", 20: "thumb4"},
    "interhand": {0: "thumb4", 3: "thumb1", 4: "index4", 19: "little1", 20: "wrist"},
    "mano": {
        0: "wrist",
        1: "index1",
        4: "middle1",
        7: "little1",
        10: "ring1",
        13: "thumb1",
        16: "thumb4",
        20: "little4",
    },
    "mediapipe": {0: "wrist", 4: "thumb4", 5: "index1", 20: "little4"},
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_points(name):
    ours = np.arange(21)[:, None]
    theirs = reorder(ours, "standard", name)[:, 0]
    for index, joint in KNOWN[name].items():
        assert JOINT_NAMES[theirs[index]] == joint


@pytest.mark.parametrize("name", ORDERS)
def test_there_and_back(name, rng):
    points = rng.normal(size=(2, 21, 3))
    assert sorted(ORDERS[name]) == list(range(21))
    np.testing.assert_array_equal(reorder(reorder(points, "standard", name), name), points)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="unknown order 'openpose2'"):
        reorder(np.zeros((21, 2)), "openpose2")
    with pytest.raises(UserError, match="must be"):
        reorder(np.zeros((20, 2)), "rhd")
