"""Targets of the export: one `Target` for each kind of file, in the table TARGETS.

A new kind of file needs one function that writes it and one line in TARGETS.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hiu_tf.evaluation.predictors import Predict, exported_predictor
from hiu_tf.exporting.module import HIUModule
from hiu_tf.exporting.onnx_file import check_packages, export_onnx
from hiu_tf.exporting.parity import Limits
from hiu_tf.exporting.saved_model import export_saved_model
from hiu_tf.exporting.tflite import export_tflite

SAVED = "SavedModel"


class Options(NamedTuple):
    """Options of the export.

    Attributes:
      batch: number of crops per call of a TFLite or ONNX file; None: resizable.
      mask: whether TFLite and ONNX files output the mask.
      crops: [N, S, S, 3] in [0, 1], for targets that measure quantisation ranges.
    """

    batch: int | None = 1
    mask: bool = True
    crops: np.ndarray | None = None


class Target(NamedTuple):
    """One kind of file.

    Attributes:
      write: (module, folder, card, options) -> path of the written file.
      limits: how far its predictions and errors may be from the network's.
      needs_crops: whether `write` needs options.crops.
      open: path -> predictor, for the comparison with the network.
      check_packages: raises UserError if packages are missing that hiu-tf[train] does not bring; None: there are none.
    """

    write: Callable[[HIUModule, Path, dict, Options], Path]
    limits: Limits
    needs_crops: bool = False
    open: Callable[[Path], Predict] = lambda path: exported_predictor(str(path))[0]
    check_packages: Callable[[], None] | None = None


def _saved_model(module, folder, card, options):
    del options
    return export_saved_model(module, folder, card)


def _tflite(precision):
    def write(module, folder, card, options):
        path = folder / f"{card['name']}_{precision}.tflite"
        export_tflite(module, path, precision, options.crops, card, options.batch, options.mask)
        return path

    return write


def _onnx(module, folder, card, options):
    path = folder / f"{card['name']}.onnx"
    export_onnx(module, path, card, options.batch, options.mask)
    return path


TARGETS = {
    SAVED: Target(_saved_model, Limits(0.05, 0.05, 0.001)),
    "float32": Target(_tflite("float32"), Limits(0.05, 0.05, 0.001)),
    "float16": Target(_tflite("float16"), Limits(0.3, 0.3, 0.002)),
    "dynamic": Target(_tflite("dynamic"), Limits(1.0, 1.0, 0.01)),
    "int8": Target(_tflite("int8"), Limits(1.5, 1.5, 0.02), needs_crops=True),
    "onnx": Target(_onnx, Limits(0.05, 0.05, 0.001), check_packages=check_packages),
}
#: Targets that are written unless others are named: those that need no more than hiu-tf[train].
USUAL = tuple(name for name, target in TARGETS.items() if target.check_packages is None)
