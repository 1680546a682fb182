"""Pictures and clips from disk, predictions to disk."""

from pathlib import Path

import cv2
import numpy as np

from hiu_tf.errors import UserError
from hiu_tf.runtime.crop import box_of
from hiu_tf.runtime.draw import draw_prediction
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.runtime.results import prediction_json, write_json, write_obj

_LONGEST_OVERLAY = 640
#: Below this mean confidence the hand counts as lost and is searched for again.
_LOST = 0.25


def read_picture(path: Path) -> np.ndarray:
    """A picture file as [H, W, 3] uint8 RGB, upright (EXIF).

    Raises:
      UserError: it cannot be read as a picture.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise UserError("cannot be read as a picture")
    return np.ascontiguousarray(picture[..., ::-1])


def predict_picture(predictor: Predictor, path: Path, stem: Path, **options) -> str:
    """Writes STEM.png, .json and .obj of one picture; returns a line for the terminal."""
    picture = read_picture(path)
    prediction = predictor.predict(picture, **options)
    _write_png(_with(stem, ".png"), _overlay(picture, prediction, predictor.faces))
    write_json(_with(stem, ".json"), {"picture": str(path)} | prediction_json(prediction))
    write_obj(_with(stem, ".obj"), prediction.vertices, predictor.faces, prediction.side == "left")
    return f"{path}: {prediction.side} hand, score {prediction.score:.2f} -> {stem}.png .json .obj"


def predict_clip(predictor: Predictor, path: Path, stem: Path, box=None, side=None, K=None) -> str:
    """Follows one hand through a clip; writes STEM.mp4 and .json; returns a line for the terminal."""
    from tqdm import tqdm

    reader = cv2.VideoCapture(str(path))
    count, rate = int(reader.get(cv2.CAP_PROP_FRAME_COUNT)), reader.get(cv2.CAP_PROP_FPS) or 25.0
    target, writer, frames = _with(stem, ".mp4"), None, []
    scratch = _with(stem, ".partial.mp4")
    for _ in tqdm(range(count), desc=path.name, unit="frame"):
        good, frame = reader.read()
        if not good:
            break
        picture = np.ascontiguousarray(frame[..., ::-1])
        prediction = predictor.predict(picture, box=box, side=side, K=K)
        frames.append({"frame": len(frames)} | prediction_json(prediction))
        lost = prediction.score < _LOST
        box = None if lost else _inside(box_of(prediction.joints_2d), picture)
        drawn = _overlay(picture, prediction, predictor.faces)
        if writer is None:
            writer = cv2.VideoWriter(str(scratch), cv2.VideoWriter_fourcc(*"mp4v"), rate, drawn.shape[1::-1])
        writer.write(drawn[..., ::-1])
    if writer is None:
        raise UserError("cannot be read as a clip")
    writer.release()
    scratch.replace(target)
    write_json(_with(stem, ".json"), {"clip": str(path), "frames_per_second": rate, "frames": frames})
    mean = np.mean([frame["score"] for frame in frames])
    return f"{path}: {len(frames)} frames, mean score {mean:.2f} -> {target} .json"


def _with(stem, suffix):
    """The stem with something after it; a dot in its name stays."""
    return stem.with_name(stem.name + suffix)


def _inside(box, picture):
    """The box, or None where it has left the picture."""
    x, y, width, height = box
    visible = x < picture.shape[1] and y < picture.shape[0] and x + width > 0 and y + height > 0
    return box if visible else None


def _overlay(picture, prediction, faces):
    """The overlay at a size that people can look at."""
    drawn = draw_prediction(picture, prediction, faces)
    scale = min(1.0, _LONGEST_OVERLAY / max(picture.shape[:2]))
    return cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else drawn


def _write_png(path, picture):
    good, content = cv2.imencode(".png", picture[..., ::-1])
    if not good:
        raise UserError(f"cannot encode {path}")
    scratch = path.with_name(path.name + ".partial")
    scratch.write_bytes(content.tobytes())
    scratch.replace(path)
