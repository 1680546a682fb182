"""Functions that measure time and memory for the benchmarks."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

_BLAS = {"OPENBLAS_NUM_THREADS": "1"}
_SECONDS = 2.0  # spent on repetitions of each measurement


def median_ms(function, inputs=()) -> float:
    """Median milliseconds of a call including fetching its results, after one warm-up call."""
    import time

    import numpy as np
    import tensorflow as tf

    function(*inputs)
    times = []
    while sum(times) < _SECONDS or len(times) < 5:
        start = time.perf_counter()
        tf.nest.map_structure(lambda tensor: tensor.numpy(), function(*inputs))
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def peak_megabytes() -> float:
    """Peak resident memory of this process, megabytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(function, *arguments):
    """Calls the function in a fresh process, free of other caches, threads and memory. Returns its result.

    NumPy's matrix products use one thread there, as the reference product is one of one thread.
    """
    before = {name: os.environ.get(name) for name in _BLAS}
    os.environ.update(_BLAS)  # read by the child when it imports NumPy
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(function, *arguments).result()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
