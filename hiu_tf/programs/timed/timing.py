"""How the benchmarks measure."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

_SECONDS = 2.0  # of repetitions for each metric


def median_ms(function, inputs=()) -> float:
    """Median milliseconds of a call whose results are fetched, after one call that does not count."""
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
    """The most memory that this process has held."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(function, *arguments):
    """What the function returns in a fresh process: nobody's caches, threads or memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
