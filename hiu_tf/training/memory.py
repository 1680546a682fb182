"""Large tensors keep their memory from step to step."""

import ctypes
import sys

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Tells glibc to keep what TensorFlow frees; call it before TensorFlow allocates. Does nothing elsewhere.

    By default every tensor of more than 32 MB is new memory from the kernel, which clears each page at its first
    touch: on a virtual machine that made element-wise operations five times slower (docs/training.md).
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _NEVER)
    mallopt(_M_ARENA_MAX, 1)
