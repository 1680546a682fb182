"""The page's tracker against Python's: the same scripted clip, the same hands with the same numbers. Needs Node.js."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from hiu_tf.codecs.centres import Found
from hiu_tf.geometry.window import Window, around_box, box_of
from hiu_tf.runtime.tracker import Tracker
from tests.web.test_modules import NODE, javascript

pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")
WIDTH, HEIGHT, LEAST = 640, 480, 0.25
#: A hand of side 1 about (0, 0), its middle finger upwards.
TEMPLATE = np.random.default_rng(5).uniform(-0.5, 0.5, (21, 2))
TEMPLATE[[0, 9]] = (0, 0.5), (0, -0.1)


def clip():
    """[(x, y, side, score, right), ...] of each frame: two hands, one of which stays away for a while, leaves, jumps in
    size. The network's probability of a right hand speaks against the side of one of them from a frame on.
    """
    frames = []
    for k in range(60):
        hands = [(150 + 4 * k, 200, 120, 0.8, 0.9 if k < 30 else 0.1)]
        if k > 8 and not 20 <= k < 25:
            hands.append((500 - 2 * k, 260 + k, 90 if k != 40 else 300, 0.1 if k in (30, 48, 49) else 0.7, 0.3))
        if k > 50:
            hands.append((600 + 10 * (k - 50), 100, 80, 0.6, 0.6))
        frames.append([] if k in (55, 56, 57) else hands)
    return frames


@dataclass
class Hand:
    """What the tracker needs of a hand."""

    joints_2d: np.ndarray
    score: float
    crop: Window
    side_score: float
    number: int | None = None

    @property
    def box(self):
        return box_of(self.joints_2d)


class Scripted:
    """A predictor that returns the hands of the script."""

    scale, card = 1.5, {"min_score": LEAST}

    def __init__(self, frames):
        self.frames, self.number, self.detector = frames, 0, self

    def find(self, picture, most):
        return [
            Found((x - s / 2, y - s / 2, s, s), np.array([0.0, -1.0]), 0.1, score)
            for x, y, s, score, _ in self.frames[self.number]
        ]

    def windows(self, found, side):
        return [around_box(found.box, 128)]

    def read(self, picture, windows, K, left=0.0, shape=None):
        window = windows[0]
        near = [hand for hand in self.frames[self.number] if math.dist(hand[:2], window.centre) < window.side / 2]
        x, y, side, score, right = near[0] if near else (*window.centre, window.side / 1.5, 0.05, 0.5)
        return Hand(TEMPLATE * side + (x, y), score, window, 1 - right if window.mirrored else right)


BODY = """
  const { Tracker } = await load('tracker.js'), { aroundBox } = await load('window.js');
  let number = 0;
  const predictor = {
    scale: 1.5,
    card: { min_score: data.least },
    find: async () => data.frames[number].map(([x, y, s, score]) => (
      { box: [x - s / 2, y - s / 2, s, s], direction: [0, -1], left: 0.1, score })),
    windows: ({ box }) => [aroundBox(box, 128, false, 0, 1.5)],
    read: async (picture, [window]) => {
      const apart = ([x, y]) => Math.hypot(x - window.centre[0], y - window.centre[1]);
      const near = data.frames[number].filter((hand) => apart(hand) < window.side / 2);
      const [x, y, side, score, right] = near[0] ?? [...window.centre, window.side / 1.5, 0.05, 0.5];
      const sideScore = window.mirrored ? 1 - right : right;
      const joints = data.template.map(([u, v]) => [u * side + x, v * side + y]);
      const [xs, ys] = [0, 1].map((k) => joints.map((joint) => joint[k]));
      const [low, high] = [Math.min, Math.max].map((end) => [end(...xs), end(...ys)]);
      const box = [...low, high[0] - low[0], high[1] - low[1]];
      return { joints_2d: joints, box, score, side_score: sideScore, crop: window };
    },
  };
  const tracker = new Tracker(predictor, data.most);
  const answers = [];
  for (; number < data.frames.length; number++) {
    const hands = await tracker.next({ width: data.width, height: data.height });
    answers.push(hands.map((hand) => [hand.id, Number(hand.crop.mirrored), ...hand.joints_2d[0]]));
  }
  return answers;
"""


@pytest.mark.parametrize("most", (1, 4))
def test_hands_keep_the_numbers_that_python_gives(most):
    frames = clip()
    predictor = Scripted(frames)
    track, expected = Tracker(predictor, most=most), []
    for number in range(len(frames)):
        predictor.number = number
        expected.append(
            [
                [hand.number, hand.crop.mirrored, *hand.joints_2d[0]]
                for hand in track(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
            ]
        )
    size = {"width": WIDTH, "height": HEIGHT, "least": LEAST, "most": most}
    found = javascript(BODY, frames=frames, template=TEMPLATE.tolist(), **size)
    for number, (here, there) in enumerate(zip(found, expected)):
        np.testing.assert_allclose(np.reshape(here, (-1, 4)), np.reshape(there, (-1, 4)), err_msg=f"frame {number}")
    assert len({hand[0] for hands in found for hand in hands}) >= (4 if most > 1 else 1)
    turned = [number for number, hands in enumerate(found) for hand in hands if hand[0] == 1 and hand[1]]
    # From frame 30 on each frame takes 2 from the 10 that it has: below -6 after the ninth, seen in the next.
    assert turned[0] == 39 and turned[:10] == list(range(39, 49))
