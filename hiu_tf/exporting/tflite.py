"""TFLite files: built-in operations only, a fixed or resizable batch, the signature "tensor" with named outputs."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from hiu_tf.atomic import written_whole
from hiu_tf.conventions import keys
from hiu_tf.exporting.module import HIUModule
from hiu_tf.quiet import without_chatter
from hiu_tf.runtime.backend import SIGNATURE
from hiu_tf.runtime.card import CARD, checksum

#: Layers that int8 files compute in int8, by name: the convolutions before the predictions. Predictions, regressor (and
#: what it reads at the joints) and hand stay in float32, because int8 would cost them pixels and millimetres.
_IN_INT8 = re.compile(r"(stem\d|stem_lite0|stack\d+_(?!attention|regressor|tokens)[a-z]+_(?!predict))")
#: Kinds of operations that may be computed in int8.
_INT8_KINDS = {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RELU"}


def export_tflite(
    module: HIUModule,
    path: Path,
    precision: str,
    crops: np.ndarray | None = None,
    card: dict | None = None,
    batch: int | None = 1,
    mask: bool = True,
) -> None:
    """Converts the module.

    Args:
      module: the module to convert.
      path: of the file.
      precision: one of PRECISIONS. float16 and dynamic store smaller weights (dynamic computes convolutions in
        int8 with ranges measured at run time). int8 computes convolutions in int8 with ranges measured on `crops`
        and keeps predictions, regressor and geometry in float32.
      crops: [N, S, S, 3] in [0, 1], needed for int8: a hundred or more crops typical of the later inputs.
      card: appended to the file as model.json in a ZIP, which interpreters ignore and `unzip` reads.
      batch: number of crops per call; None: the batch to which the interpreter's input is resized.
      mask: whether the mask is an output; without it everything that only the mask needs is removed.

    Raises:
      ValueError: unknown precision, or int8 without crops.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {tuple(PRECISIONS)}, got {precision!r}")
    if precision == "int8" and (crops is None or not len(crops)):
        raise ValueError("int8 needs crops to measure ranges on")
    function = tensor_function(module, batch, mask)
    with tempfile.TemporaryDirectory() as folder, without_chatter():
        # Conversion keeps the signature's names only from a SavedModel.
        tf.saved_model.save(module, folder, signatures={SIGNATURE: function.get_concrete_function()})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        content = PRECISIONS[precision](converter, crops)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as scratch:
        scratch.write_bytes(content)
        if card:
            attach_card(scratch, card)


def tensor_function(
    module: HIUModule, batch: int | None = 1, mask: bool = True
) -> tf.types.experimental.GenericFunction:
    """The signature "tensor" of files that hold one flat graph; `batch` and `mask` as in `export_tflite`."""
    spec = tf.TensorSpec([batch, module.size, module.size, 3], tf.float32, name=keys.IMAGE)

    def tensor(image):
        return {name: value for name, value in module.in_line(image).items() if mask or name != keys.MASK}

    return tf.function(tensor, input_signature=[spec], autograph=False)


def attach_card(path: Path, card: dict) -> None:
    """Appends a card to a .tflite file. The card includes the checksum of the file before appending."""
    card = card | {"sha256": checksum(path.read_bytes())}
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CARD, json.dumps(card))


def delegated_share(path: Path, operation: str = "CONV_2D") -> float:
    """Share of a file's operations of one kind that XNNPACK, the fast path on CPUs, executes."""
    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    nodes = interpreter._get_ops_details()
    plain = [node for node in nodes if node["op_name"] != "DELEGATE"]
    producer = {output: index for index, node in enumerate(plain) for output in node["outputs"]}
    taken = set()
    for part in (node for node in nodes if node["op_name"] == "DELEGATE"):
        inputs, ahead = set(part["inputs"].tolist()), list(part["outputs"])
        while ahead:
            tensor = ahead.pop()
            index = producer.get(tensor)
            if tensor not in inputs and index is not None and index not in taken:
                taken.add(index)
                ahead += list(plain[index]["inputs"])
    wanted = [index for index, node in enumerate(plain) if node["op_name"] == operation]
    return len(taken & set(wanted)) / max(len(wanted), 1)


def _float32(converter, crops):
    del crops
    return converter.convert()


def _float16(converter, crops):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _float32(converter, crops)


def _dynamic(converter, crops):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return _float32(converter, crops)


def _int8(converter, crops):
    float_file = converter.convert()
    batch = tf.lite.Interpreter(model_content=float_file).get_input_details()[0]["shape"][0]

    def examples():
        for start in range(0, len(crops) - batch + 1, batch):
            yield {keys.IMAGE: crops[start : start + batch].astype(np.float32)}

    outputs = _outputs(float_file)
    kept = [name for name, _ in outputs if not _IN_INT8.search(name)]
    kinds = sorted({kind for _, kind in outputs} - _INT8_KINDS)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=kept, denylisted_ops=kinds)
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=examples, debug_options=options
    )
    return debugger.get_nondebug_quantized_model()


def _outputs(content):
    """(name, kind of operation) of every operation output of a float file."""
    interpreter = tf.lite.Interpreter(model_content=content)
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    nodes = interpreter._get_ops_details()
    return [(names[index], node["op_name"]) for node in nodes for index in node["outputs"] if index in names]


PRECISIONS: dict[str, Callable] = {"float32": _float32, "float16": _float16, "dynamic": _dynamic, "int8": _int8}
