"""tensorflow-graphics' CPU rasteriser, compiled for the TensorFlow that is installed.

The library in tensorflow-graphics' wheel does not load with TensorFlow above 2.8, but the wheel contains
its three C++ sources. They are compiled once (about half a minute) into the user's cache and registered
as the module `gen_rasterizer_op`, where tensorflow-graphics looks first. Its own Python code then runs
unchanged.
"""

import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import tensorflow as tf

from hiu_tf.atomic import written_whole

_LOG = logging.getLogger(__name__)
_MODULE = "tensorflow_graphics.rendering.kernels.gen_rasterizer_op"
_SOURCES = ("rasterize_triangles_op.cc", "rasterize_triangles_impl.cc")


@lru_cache(maxsize=1)
def rasterizer_backend():
    """tensorflow-graphics' kernel backend module, or None where it cannot be built."""
    library = _library()
    if library is None:
        return None
    sys.modules.setdefault(_MODULE, tf.load_op_library(str(library)))
    from tensorflow_graphics.rendering.kernels import rasterization_backend

    return rasterization_backend


def cache_folder() -> Path:
    """HIU_TF_CACHE, or hiu_tf in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hiu_tf"
    return Path(os.environ.get("HIU_TF_CACHE", default))


def _library():
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    kernels = Path(importlib.util.find_spec("tensorflow_graphics").origin).parent / "rendering" / "kernels"
    sources = [kernels / name for name in _SOURCES]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    target = cache_folder() / f"rasterizer-tf{tf.__version__}-{digest}.so"
    if target.exists():
        return target
    if compiler is None:
        _LOG.warning("no C++ compiler found: masks are rasterised by slower TensorFlow operations")
        return None
    if not _writable(target.parent):
        target = Path(tempfile.mkdtemp(prefix="hiu_tf-")) / target.name
    with _only_one_process(target.parent):
        return target if target.exists() else _compile(compiler, sources, kernels, target)


def _writable(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)
    except OSError:
        return False


@contextmanager
def _only_one_process(folder):
    """Lets concurrent processes wait for the first one's result. Without file locks (Windows) each one compiles."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(folder / "rasterizer.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(compiler, sources, kernels, target):
    print("hiu-tf: compiling tensorflow-graphics' rasteriser (once, about half a minute) ...", file=sys.stderr)
    flags = tf.sysconfig.get_compile_flags() + tf.sysconfig.get_link_flags()
    command = [compiler, "-std=c++17", "-O3", "-shared", "-fPIC", *map(str, sources), "-I", str(kernels)]
    try:
        with written_whole(target) as scratch:
            subprocess.run([*command, "-o", str(scratch), *flags], capture_output=True, text=True, check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        reason = getattr(error, "stderr", error)
        _LOG.warning("the rasteriser did not compile, slower TensorFlow operations take over:\n%s", str(reason)[-1500:])
        return None
    return target
