"""TFLite files: batch 1, built-in operations only, the signature "tensor" with named outputs."""

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from hiu_tf.atomic import written_whole
from hiu_tf.conventions import keys
from hiu_tf.export.module import HIUModule
from hiu_tf.runtime.backend import SIGNATURE

PRECISIONS = ("float32", "float16")


def export_tflite(module: HIUModule, path: Path, precision: str) -> None:
    """Converts the module; weights are stored at `precision`, computation is float32."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {PRECISIONS}, got {precision!r}")
    size = module.size
    spec = tf.TensorSpec([1, size, size, 3], tf.float32, name=keys.IMAGE)
    function = tf.function(lambda image: module.predict(image), input_signature=[spec], autograph=False)
    with tempfile.TemporaryDirectory() as folder:
        # Only a SavedModel carries the signature's names into the file.
        tf.saved_model.save(module, folder, signatures={SIGNATURE: function.get_concrete_function()})
        content = _convert(tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE]), precision)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as scratch:
        scratch.write_bytes(content)


@contextmanager
def _without_statistics():
    """The converter prints pages of counts from C++; its errors come as exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _convert(converter, precision):
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    with _without_statistics():
        return converter.convert()
