"""Exports the detector: files for runtimes (TFLite, ONNX), and a SavedModel from which training can continue."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import tensorflow as tf
import tf_keras as keras

import hiu_tf
from hiu_tf.atomic import written_whole
from hiu_tf.codecs.centres import CHANNELS, STRIDE
from hiu_tf.config.detection import DetectorConfig
from hiu_tf.conventions import keys
from hiu_tf.exporting.crops import in_range
from hiu_tf.exporting.onnx_file import export_onnx
from hiu_tf.exporting.saved_model import export_saved_model
from hiu_tf.exporting.tflite import export_tflite
from hiu_tf.runtime.detector import MAPS
from hiu_tf.runtime.shipped import DETECTOR


class DetectorModule(tf.Module):
    """A network from `build_detector`, ready to be saved."""

    def __init__(self, network: keras.Model):
        super().__init__(name=DETECTOR)
        self.weights = network.variables
        self._network = lambda image: network(image, training=False)
        self.size = network.input_shape[1]

    def in_line(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Squares [B, S, S, 3] float32 RGB in [0, 1] -> {MAPS: [B, S/4, S/4, 8]} (codecs/centres.py)."""
        return {MAPS: self._network(in_range(image))}

    def signatures(self) -> dict[str, object]:
        """The one signature, "tensor"."""
        spec = tf.TensorSpec([None, self.size, self.size, 3], tf.float32, keys.IMAGE)
        function = tf.function(self.in_line, input_signature=[spec], autograph=False)
        return {"tensor": function.get_concrete_function()}


def detector_card(config: DetectorConfig, min_score: float, metrics: dict | None) -> dict:
    """Makes the card as plain data."""
    size, cells = config.image_size, config.image_size // STRIDE
    return {
        "name": DETECTOR,
        "hiu_tf": hiu_tf.__version__,
        "image_size": size,
        "min_score": min_score,
        "input": f"image [B, {size}, {size}, 3] float32, RGB in [0, 1], a whole picture, letterboxed",
        "outputs": {
            MAPS: f"[B, {cells}, {cells}, {CHANNELS}] logit of a hand's centre, offset (2), log size (2), direction (2), logit of left"
        },
        "network": asdict(config),
        "metrics": metrics or {},
    }


def detector_text(card: dict, measured: str, training: str) -> str:
    """Makes the card as Markdown text."""
    return "\n\n".join(
        [
            f"# {card['name']}",
            training,
            "## Input and outputs",
            f"- input: {card['input']}\n- `{MAPS}`: {card['outputs'][MAPS]}",
            f"## Measured on val, at the score {card['min_score']:g}",
            measured + "\n",
        ]
    )


def export_detector(network: keras.Model, folder: Path, card: dict, text: str, onnx: bool = False) -> list[Path]:
    """Writes FOLDER/NAME_float16.tflite, with `onnx` FOLDER/NAME.onnx, FOLDER/VERSION and card.md.

    Returns:
      The paths of all but card.md.

    Raises:
      UserError: the packages for ONNX are missing, or the folder cannot be written.
    """
    module = DetectorModule(network)
    paths = [folder / f"{DETECTOR}_float16.tflite"]
    export_tflite(module, paths[0], "float16", card=card)
    if onnx:
        paths.append(folder / f"{DETECTOR}.onnx")
        export_onnx(module, paths[1], card)
    version = export_saved_model(module, folder, card)
    with written_whole(folder / "card.md") as scratch:
        scratch.write_text(text)
    return [*paths, version]
