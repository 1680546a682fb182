"""Reuse of the memory of large tensors from step to step."""

import ctypes
import sys

# from glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Makes glibc keep the memory that TensorFlow frees. Call it before TensorFlow allocates. No effect without glibc.

    By default every tensor of more than 32 MB gets new memory from the kernel, which clears each page at its first
    use. On a virtual machine that made element-wise operations five times slower (docs/training.md).
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
