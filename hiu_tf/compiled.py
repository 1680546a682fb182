"""C++ operations for TensorFlow, compiled once for the TensorFlow that is installed, into the user's cache."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from hiu_tf.atomic import written_whole
from hiu_tf.cache import cache_folder

_LOG = logging.getLogger(__name__)


def load_operations(name: str, what: str, sources: list[Path]):
    """Compiles C++ sources, unless that was done before, and loads them. Returns their module, or None if they cannot be built.

    Args:
      name: of the library's file.
      what: the operations in words, for the user.
      sources: C++ files; headers lie beside them.
    """
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    machine = platform.machine()  # homes are shared by machines of different kinds
    target = cache_folder() / f"{name}-tf{tf.__version__}-{machine}-{digest}.so"
    library = target if target.exists() else _build(target, what, sources)
    return library and tf.load_op_library(str(library))


def _build(target, what, sources):
    there = filter(None, map(shutil.which, ("g++", "clang++")))
    compiler = shlex.split(os.environ.get("CXX", "")) or list(there)[:1]
    if not compiler:
        _LOG.warning("no C++ compiler found: slower TensorFlow operations replace %s", what)
        return None
    if not _writable(target.parent):
        target = Path(tempfile.mkdtemp(prefix="hiu_tf-")) / target.name
    with _only_one_process(target):
        return target if target.exists() else _compile(compiler, what, sources, target)


def _writable(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)
    except OSError:
        return False


@contextmanager
def _only_one_process(target):
    """Lets concurrent processes wait for the first one's result. Without file locks (Windows) each one compiles."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(target.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(compiler, what, sources, target):
    print(f"hiu-tf: compiling {what} (once, about half a minute) ...", file=sys.stderr)
    flags = tf.sysconfig.get_compile_flags() + tf.sysconfig.get_link_flags()
    command = [*compiler, "-std=c++17", "-O3", "-shared", "-fPIC", *map(str, sources), "-I", str(sources[0].parent)]
    try:
        with written_whole(target) as scratch:
            subprocess.run([*command, "-o", str(scratch), *flags], capture_output=True, text=True, check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        reason = str(getattr(error, "stderr", error))[-1500:]
        _LOG.warning("%s did not compile, slower TensorFlow operations replace it:\n%s", what, reason)
        return None
    return target
