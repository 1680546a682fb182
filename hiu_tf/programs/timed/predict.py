"""Times a prediction from file to results, part by part, relative to a large matrix product in the same process."""

from __future__ import annotations

from pathlib import Path

from hiu_tf.programs.timed.timing import in_own_process

_WALL = (480, 640)


def predict_tables(model: str | None, picture: str | None, threads: list[int]) -> list[list[dict]]:
    """A table for each number of threads: milliseconds of each part, and the ratio to the matrix product.

    Args:
      model: .tflite file; None: the shipped one.
      picture: a picture with at least one hand; None: a rendered hand in front of a plain wall.
      threads: numbers of threads of the interpreters.
    """
    return [in_own_process(_time_parts, model, picture, count) for count in threads]


def _time_parts(model, picture, threads):
    import numpy as np

    from hiu_tf.errors import UserError
    from hiu_tf.geometry.letterbox import letterbox
    from hiu_tf.pictures import decode_picture
    from hiu_tf.runtime.crop import cut
    from hiu_tf.runtime.draw import draw_hands
    from hiu_tf.runtime.latency import product_ms, timed
    from hiu_tf.runtime.predictor import Predictor
    from hiu_tf.runtime.shipped import shipped_model

    encoded = Path(picture).read_bytes() if picture else _rendered()
    pixels = decode_picture(encoded)
    predictor = Predictor(model or shipped_model(), threads)
    plain = Predictor(model or shipped_model(), threads, fit=False)
    hands = predictor.predict(pixels)
    if not hands:
        raise UserError(f"{picture or 'the rendered picture'} shows no hand that this model finds: give --picture")
    detector, window = predictor.detector, hands[0].crop
    square = letterbox(pixels, detector.size)[0][np.newaxis].astype(np.float32) / 255.0
    crop = cut(pixels, window)[np.newaxis]
    read = lambda p: p.read(pixels, [window], again=False)
    parts = {
        "decode the file": lambda: decode_picture(encoded),
        "detector's network": lambda: detector._network(square),
        "find: letterbox, network, peaks": lambda: detector.find(pixels),
        "hand's network": lambda: predictor.network(crop),
        "read one hand, not fitted": lambda: read(plain),
        "read one hand": lambda: read(predictor),
        "predict: find and read all": lambda: predictor.predict(pixels),
        "draw": lambda: draw_hands(pixels, hands),
    }
    product = product_ms()
    shape = f"{pixels.shape[1]}x{pixels.shape[0]}, {len(hands)} hand(s)"
    rows = [
        {f"{shape}, {threads} thread(s)": name, "ms": (ms := timed(part)["median"]), "/ product": ms / product}
        for name, part in parts.items()
    ]
    return [
        *rows,
        {f"{shape}, {threads} thread(s)": "1024² float32 product, one thread", "ms": product, "/ product": 1.0},
    ]


def _rendered():
    """Renders a hand at a third of a picture's width, as JPEG."""
    import cv2
    import numpy as np

    from pipelines.datasets import open_split

    _, sample = next(iter(open_split("synthetic", "1", "val").outcomes()))
    hand = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
    canvas = np.full((*_WALL, 3), 130, np.uint8)
    side = _WALL[0] * 3 // 4
    canvas[60 : 60 + side, 140 : 140 + side] = cv2.resize(hand, (side, side))
    return cv2.imencode(".jpg", canvas)[1].tobytes()
