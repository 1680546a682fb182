"""The shipped models: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from hiu_tf.errors import UserError

HAND, DETECTOR = "hiu_mobile", "hand_detector"


def shipped_model(name: str = HAND) -> Path:
    """Path of a model's float16 file.

    Raises:
      UserError: the file does not exist.
    """
    package = Path(__file__).parents[1]
    for folder in (package.parent / "savedmodels", package / "savedmodels"):
        path = folder / name / f"{name}_float16.tflite"
        if path.is_file():
            return path
    raise UserError(f"no model {name} comes with this installation: name a file (--model, --detector)")


def predict(source, **options):
    """Predicts the hands of a picture, many pictures or a clip with the shipped models, which are loaded once.

    Arguments and result are those of `Predictor.__call__`.
    """
    return _predictor()(source, **options)


@lru_cache(maxsize=1)
def _predictor():
    from hiu_tf.runtime.predictor import Predictor

    return Predictor()
