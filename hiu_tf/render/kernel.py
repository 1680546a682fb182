"""tensorflow-graphics' CPU rasteriser, compiled for the TensorFlow that is installed.

The library in tensorflow-graphics' wheel does not load with TensorFlow above 2.8, but the wheel contains
its three C++ sources. They are compiled and registered as the module `gen_rasterizer_op`, where tensorflow-graphics
looks first. Its own Python code then runs unchanged.
"""

import importlib.util
import sys
from functools import lru_cache
from pathlib import Path

from hiu_tf.compiled import load_operations

_MODULE = "tensorflow_graphics.rendering.kernels.gen_rasterizer_op"
_SOURCES = ("rasterize_triangles_op.cc", "rasterize_triangles_impl.cc")


@lru_cache(maxsize=1)
def rasterizer_backend():
    """tensorflow-graphics' kernel backend module, or None where it cannot be built."""
    kernels = Path(importlib.util.find_spec("tensorflow_graphics").origin).parent / "rendering" / "kernels"
    operations = load_operations(
        "rasterizer", "tensorflow-graphics' rasteriser of masks", [kernels / name for name in _SOURCES]
    )
    if operations is None:
        return None
    sys.modules.setdefault(_MODULE, operations)
    from tensorflow_graphics.rendering.kernels import rasterization_backend

    return rasterization_backend
