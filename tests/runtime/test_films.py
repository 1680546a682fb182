"""The film of a clip: rates of any camera, frames that change their size, and a stream that ends before its first frame."""

from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from hiu_tf.errors import UserError
from hiu_tf.runtime import files
from hiu_tf.runtime.clips import Clip


def frames_of(path):
    """The frames of a film, and its rate."""
    film = cv2.VideoCapture(str(path))
    rate, frames = film.get(cv2.CAP_PROP_FPS), []
    while (found := film.read())[0]:
        frames.append(found[1])
    return frames, rate


@pytest.mark.parametrize("rate", [1, 14.985, 23.976, 29.97, 59.94, 119.643, 239.7612, 960.123, 6400.5])
def test_a_film_has_its_frames_at_any_rate(tmp_path, rate):
    film = files._Film(tmp_path / "clip.mp4")
    for grey in (40, 120, 200):
        film.write(np.full((48, 64, 3), grey, np.uint8), rate)
    film.close()
    frames, found = frames_of(film.path)
    assert film.frames == len(frames) == 3
    assert found == pytest.approx(rate, rel=1e-3)


def test_frames_of_another_size_are_padded_or_cut(tmp_path):
    film = files._Film(tmp_path / "clip.mp4")
    for shape in ((48, 64), (96, 64), (48, 32), (32, 128)):
        film.write(np.full((*shape, 3), 200, np.uint8), 10)
    film.close()
    frames, _ = frames_of(film.path)
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    np.testing.assert_allclose([frame.mean() for frame in frames], [200, 200, 100, 200 * 32 / 48], atol=6)


def test_what_opencv_cannot_write_is_said(tmp_path):
    with pytest.raises(UserError, match="cannot write a film of 64x48 pixels at 1e[+]09 frames a second"):
        files._Film(tmp_path / "clip.mp4").write(np.zeros((48, 64, 3), np.uint8), 1e9)


def test_a_stream_that_ends_before_its_first_frame_leaves_nothing(tmp_path, monkeypatch):
    """Ctrl-C while a camera starts."""

    def starting():
        raise KeyboardInterrupt
        yield

    @contextmanager
    def opened(source, seconds):
        yield Clip(30.0, None, starting())

    monkeypatch.setattr(files, "opened", opened)
    monkeypatch.setattr(files, "follow", lambda predictor, frames, *_, **__: frames)
    with pytest.raises(UserError, match="ended before the first frame"):
        files.predict_clip(None, "0", tmp_path / "camera", quiet=True)
    assert not list(tmp_path.iterdir())
