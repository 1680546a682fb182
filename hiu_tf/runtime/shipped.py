"""The shipped models: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

from pathlib import Path

from hiu_tf.errors import UserError

HAND, SMALL_HAND, DETECTOR = "hiu_mobile", "hiu_edge", "hand_detector"


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


def model_path(given: str | Path) -> Path:
    """The path of a model that is given by its path, or by the name of one that ships: "hiu_mobile", "hiu_edge".

    Raises:
      UserError: as `shipped_model`.
    """
    is_name = str(given) in (HAND, SMALL_HAND) and not Path(given).exists()
    return shipped_model(str(given)) if is_name else Path(given)
