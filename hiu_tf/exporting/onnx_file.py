"""ONNX files: the graph of the TFLite files in float32, with the card in the metadata. Needs hiu-tf[onnx]."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from hiu_tf.atomic import written_whole
from hiu_tf.errors import UserError
from hiu_tf.exporting.module import HIUModule
from hiu_tf.exporting.tflite import tensor_function
from hiu_tf.runtime.card import CARD, CHECKSUM, checksum

#: Version of ONNX's operators, of 2021: newer ones bring nothing that these networks use, and fewer runtimes know them.
OPSET = 15
_BATCH = "batch"  # name of the dimension in files with a free batch
_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")


def check_packages() -> None:
    """Checks that the packages that write and open ONNX files are installed.

    Raises:
      UserError: one is missing; the message names it and the extra.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(f"ONNX files need {', '.join(missing)}: pip install 'hiu-tf[onnx]' (Python 3.10 or newer)")


def export_onnx(module: HIUModule, path: Path, card: dict, batch: int | None = 1, mask: bool = True) -> None:
    """Converts the module.

    Args:
      module: the module to convert.
      path: of the file.
      card: stored as the entry model.json of the file's metadata.
      batch: number of crops per call; None: any number.
      mask: whether the mask is an output; without it everything that only the mask needs is removed.

    Raises:
      UserError: packages are missing, or the module has an operation that ONNX lacks.
    """
    check_packages()
    import onnx
    import tf2onnx

    function = tensor_function(module, batch, mask)
    model, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=OPSET)
    if batch is None:
        _name_batch(model.graph)
    try:
        onnx.checker.check_model(model)  # the converter leaves in place what it does not know
    except onnx.checker.ValidationError as error:
        raise UserError(f"{card['name']} cannot be written as ONNX: {str(error).splitlines()[0]}") from error
    model.metadata_props.add(key=CARD, value=json.dumps(card))
    model.metadata_props.add(key=CHECKSUM, value=checksum(model.SerializeToString()))
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as scratch:
        scratch.write_bytes(model.SerializeToString())


def _name_batch(graph):
    """Gives the first dimension of inputs and outputs one name: the converter gives each a different one."""
    for tensor in (*graph.input, *graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = _BATCH
