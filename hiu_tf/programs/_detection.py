"""Metrics of a detector on scenes with and without hands: recall, precision, AP, direction, side."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hiu_tf.metrics.detection import assigned, average_precision, overlaps
from hiu_tf.tables import markdown_table

#: Hands with a smaller box, relative to the square, count as small.
SMALL = 0.1


@dataclass
class Tally:
    """Detections in the pictures of one set, compared with the labels.

    Attributes:
      scores, right: [F] score of every detected box, and whether it matches a hand.
      scores_of_hands, small_hands: [N] for each labelled hand: score of its matching box (0 if missed), and whether
        it is small.
      best_of_pictures: highest score in each picture.
      angles: degrees between predicted and labelled directions of matched hands.
      sides: whether the predicted side of matched hands is correct.
    """

    scores: list = field(default_factory=list)
    right: list = field(default_factory=list)
    scores_of_hands: list = field(default_factory=list)
    small_hands: list = field(default_factory=list)
    best_of_pictures: list = field(default_factory=list)
    angles: list = field(default_factory=list)
    sides: list = field(default_factory=list)

    def add(self, found, hands: np.ndarray, size: float) -> None:
        """Adds one picture: its detections (`codecs.centres.Found`), labelled hands [N, 8] and longer side."""
        counted, ignored = hands[hands[:, 7] > 0], hands[hands[:, 7] <= 0]
        boxes, scores = np.reshape([f.box for f in found], (-1, 4)), np.array([f.score for f in found])
        shown = assigned(boxes, scores, counted[:, :4])
        near_ignored = overlaps(boxes, ignored[:, :4]).max(axis=1, initial=0) > 0.3
        kept = (shown >= 0) | ~near_ignored
        self.scores += scores[kept].tolist()
        self.right += (shown[kept] >= 0).tolist()
        self.best_of_pictures.append(float(scores.max(initial=0)))
        of_hands = np.zeros(len(counted))
        for hand, row in zip(found, shown):
            if row >= 0:
                of_hands[row] = hand.score
                self._compare(hand, counted[row])
        self.scores_of_hands += of_hands.tolist()
        self.small_hands += (counted[:, 2:4].max(axis=1) < SMALL * size).tolist()

    def _compare(self, found, hand):
        if hand[4:6].any():
            self.angles.append(np.degrees(np.arccos(np.clip(found.direction @ hand[4:6], -1, 1))))
        if hand[6] >= 0:
            self.sides.append((found.left > 0.5) == (hand[6] == 1))

    def metrics(self, least: float) -> dict:
        """Recall, precision and the other metrics at the score threshold `least`."""
        scores, right = np.array(self.scores), np.array(self.right, bool)
        hands, small = np.array(self.scores_of_hands), np.array(self.small_hands, bool)
        share = lambda values: float(np.mean(values)) if len(values) else float("nan")
        return {
            "pictures": len(self.best_of_pictures),
            "hands": len(hands),
            "recall": share(hands >= least),
            "recall, small": share(hands[small] >= least),
            "precision": share(right[scores >= least]),
            "AP": average_precision(scores, right, len(hands)) if len(hands) else float("nan"),
            "direction, deg": float(np.median(self.angles)) if self.angles else float("nan"),
            "side": share(self.sides),
            "pictures with none": share(np.array(self.best_of_pictures) < least),
        }


def best_score(tallies: list[Tally]) -> float:
    """The score threshold with the largest F1 (harmonic mean of recall and precision) over all sets."""
    scores = np.concatenate([t.scores for t in tallies])
    right = np.concatenate([t.right for t in tallies]).astype(bool)
    hands = sum(len(t.scores_of_hands) for t in tallies)
    order = np.argsort(-scores)
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hands)
    return float(np.round(scores[order][np.argmax(f1)], 3))


def table(rows: dict[str, dict]) -> str:
    """Formats the metrics of each set as a Markdown table."""
    columns = list(next(iter(rows.values())))
    show = lambda v: "-" if v != v else f"{v:.3f}" if isinstance(v, float) else str(v)
    return markdown_table(["set", *columns], ([name, *(show(row[c]) for c in columns)] for name, row in rows.items()))
