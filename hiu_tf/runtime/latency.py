"""Measures exported models: latency, CPU time, memory and start-up, beside a reference matrix product."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from hiu_tf.conventions import SERVER_MODEL
from hiu_tf.runtime.backend import newest_version
from hiu_tf.runtime.card import FILES

_PRODUCT, _PRODUCTS = 1024, 15
_LEAST_RUNS, _SECONDS = 20, 2.0
_PROGRAM = "from hiu_tf.runtime.latency import report; report(*{arguments!r})"


def benchmark(
    models: list[str],
    threads: list[int],
    picture: np.ndarray,
    box,
    clients: list[int] = (1,),
    server_model: str = SERVER_MODEL,
    crop: int = 0,
) -> list[dict]:
    """Measures each model in its own process. Returns a row per model and number of threads (for servers: of clients).

    Args:
      models: .tflite or .onnx files, SavedModel folders, or addresses of servers (one JPEG per request).
      threads: numbers of threads of the interpreters of files (a SavedModel uses all cores).
      picture: [H, W, 3] uint8 RGB, predicted with `box` = (x, y, width, height).
      clients: numbers of concurrent clients of a server; each sends one request after the other.
      server_model: name of the model on the server.
      crop: side of the model's crops, to time requests with crops, too; 0: not timed.
    """
    rows = []
    for model in (model for model in models if "://" in model):
        rows += _server_rows(model, picture, clients, server_model, crop)
    for model in (model for model in models if "://" not in model):
        for count in threads if Path(model).suffix in FILES else [0]:
            program = _PROGRAM.format(arguments=(model, count, picture.shape, tuple(box)))
            started = time.time()
            result = subprocess.run(
                [sys.executable, "-c", program, str(started)], input=picture.tobytes(), capture_output=True, check=False
            )
            if result.returncode:
                # "package.module.Kind: what is wrong"; a process that the system ends says nothing.
                last = (result.stderr.decode().strip().splitlines() or [f"ended with {result.returncode}"])[-1]
                rows.append({"model": model, "threads": count, "error": last.partition(": ")[2] or last})
            else:
                rows.append(json.loads(result.stdout.decode().splitlines()[-1]))
    return rows


def report(model: str, threads: int, shape: tuple, box: tuple) -> None:
    """Measures in this process and prints one line of JSON."""
    started = float(sys.argv[1])
    picture = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(shape)
    from hiu_tf.runtime.predictor import Predictor

    predictor = Predictor(model, threads or 2)
    predictor.predict(picture, box, "right")
    first = time.time() - started
    crop = np.zeros((1, predictor.size, predictor.size, 3), np.float32)
    network, whole = timed(lambda: predictor.network(crop)), timed(lambda: predictor.predict(picture, box, "right"))
    memory = _peak_mb()  # before the reference product allocates memory
    product = product_ms()
    row = {
        "model": model, "engine": predictor.engine, "threads": threads or "all", "network ms": network["median"],
        "network p90 ms": network["p90"], "whole ms": whole["median"], "whole p90 ms": whole["p90"],
        "CPU ms": whole["cpu"], "product ms": product, "network / product": network["median"] / product,
        "first result s": first, "peak MB": memory, "file MB": _size(Path(model)) / 1e6,
    }  # fmt: skip
    print(json.dumps(row))


def _peak_mb():
    """Peak memory of this process; None on Windows, where Python does not tell it."""
    try:
        import resource
    except ModuleNotFoundError:
        return None
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # macOS counts bytes, Linux kB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _server_rows(address, picture, clients, model, crop):
    """Times a server's replies to one JPEG per request, with and without the mesh, and to a crop."""
    import cv2

    from hiu_tf.serving.client import connect

    encoded = [cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()]
    requests = {
        "whole ms": ("serving_default", {"image_bytes": encoded}), "with mesh ms": ("mesh", {"image_bytes": encoded}),
    }  # fmt: skip
    if crop:
        requests["crop ms"] = ("tensor_uint8", {"image": np.zeros((1, crop, crop, 3), np.uint8)})
    started, rows = time.time(), []
    connect(address, model).predict("serving_default", image_bytes=encoded)
    first = time.time() - started
    for count in clients:
        rows.append({"model": address, "engine": "server", "clients": count, "first result s": first})
        for name, (signature, inputs) in requests.items():
            found = _timed_together(lambda: connect(address, model), signature, inputs, count)
            rows[-1] |= {name: found["median"], name.replace("ms", "p90 ms"): found["p90"]}
            rows[-1][name.replace("ms", "a second")] = found["rate"]
        rows[-1]["product ms"] = product_ms()
    return rows


def _timed_together(connect, signature, inputs, count):
    """As `timed`, with `count` concurrent clients; adds their total requests per second."""

    def ask(client):
        return _times(lambda: client.predict(signature, **inputs))

    with ThreadPoolExecutor(count) as pool:
        clients = [connect() for _ in range(count)]
        for client in clients:
            client.predict(signature, **inputs)
        start = time.perf_counter()
        times = np.concatenate(list(pool.map(ask, clients)))
    return _summary(times) | {"rate": len(times) / (time.perf_counter() - start)}


def timed(function):
    """Milliseconds of a call: median, 90th percentile, CPU time."""
    cpu, times = time.process_time(), _times(function)
    return _summary(times) | {"cpu": 1000 * (time.process_time() - cpu) / len(times)}


def _times(function):
    """Seconds of each call, for a sufficient number of calls."""
    times = []
    while len(times) < _LEAST_RUNS or sum(times) < _SECONDS:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


def _summary(times):
    return {"median": 1000 * float(np.median(times)), "p90": 1000 * float(np.quantile(times, 0.9))}


def product_ms():
    """Milliseconds of a 1024 x 1024 float32 matrix product, as a reference for this machine's current speed."""
    matrix = np.random.default_rng(0).random((_PRODUCT, _PRODUCT), np.float32)
    times = []
    for _ in range(_PRODUCTS):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def _size(path):
    """Size in bytes of a file, or of the highest version in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(p.stat().st_size for p in newest_version(path).rglob("*") if p.is_file())
