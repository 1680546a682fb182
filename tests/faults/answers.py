"""Runs programs and models, and checks what they answer: a valid result, or a refusal in words."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hiu_tf.errors import UserError
from tests.faults.material import scene

_TRACEBACK = re.compile(r"Traceback|error: .*: \w+(Error|Exception|Exit)\(")


#: Damages an input at random and processes it (doors.py).
Attempt = Callable[[np.random.Generator], None]


class Wrong(Exception):
    """A result that breaks an invariant."""


def run(main, *arguments) -> str:
    """Runs a program and returns its standard output; raises UserError with its message if it fails cleanly."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main_code(main, arguments)
    if _TRACEBACK.search(errors.getvalue()):
        raise Wrong(errors.getvalue())
    if code:
        raise UserError(errors.getvalue() or "no words at all")
    return out.getvalue()


def main_code(main, arguments):
    """Runs a program as hiu_tf/programs/_program.py does."""
    import sys

    from hiu_tf.programs._program import program

    before, sys.argv = sys.argv, ["program"]
    try:
        return program(lambda: main(list(arguments)))
    finally:
        sys.argv = before


def run_cli(*arguments) -> None:
    """Runs `hiu ...`."""
    from hiu_tf.cli import main

    run(main, *arguments)


def predict(path: Path) -> None:
    """Predicts with a model file and checks that the result is finite."""
    from hiu_tf.runtime.predictor import Predictor

    found = Predictor(path, threads=1).predict(scene(), (10, 10, 40, 40), "right")[0]
    check_finite(
        {name: getattr(found, name) for name in ("joints_2d", "joints_3d", "vertices", "joint_scores", "mask")}
    )


def check_prediction(content: dict) -> None:
    """Checks the prediction in a JSON file: everything finite, scores in [0, 1]."""
    arrays = {name: content[name] for name in ("joints_2d", "joints_3d", "vertices", "joint_scores")}
    check_finite(arrays)
    if not all(0 <= score <= 1 for score in content["joint_scores"]):
        raise Wrong("a score is outside [0, 1]")


def check_found(hands) -> None:
    """Checks the detected hands: finite boxes, unit directions, scores in order."""
    for hand in hands:
        check_finite({"box": hand.box, "direction": hand.direction, "rest": [hand.left, hand.score]})
        if min(hand.box[2:]) <= 0 or not 0 <= hand.left <= 1 or abs(np.linalg.norm(hand.direction) - 1) > 1e-3:
            raise Wrong(f"{hand} is no hand")
    if [hand.score for hand in hands] != sorted((hand.score for hand in hands), reverse=True):
        raise Wrong("hands are not in the order of their scores")


def check_finite(arrays: dict) -> None:
    """Checks that every number of every array is finite."""
    for name, value in arrays.items():
        value = np.asarray(value)
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise Wrong(f"{name} is not finite")
