"""The doors of a server and of its clients (doors.py explains doors)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from tests.faults import mutators
from tests.faults.answers import Attempt, Wrong, check_finite
from tests.faults.material import card_of, scene, served_answers, tiny_saved
from tests.faults.mutators import mutate, mutate_tree


def rest(folder: Path) -> Iterator[Attempt]:
    """Replies of a REST server."""
    from hiu_tf.serving import client
    from hiu_tf.serving.network import ServedNetwork

    client._WAIT_S = 0.001
    answers = {name: json.dumps(tree) for name, tree in served_answers(folder).items()}
    state = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            rng, content = state["rng"], answers[request["signature_name"]].encode()
            if rng.random() < 0.5:
                content = json.dumps(mutate_tree(json.loads(content), rng)).encode()
            else:
                content = mutate(content, rng)
            self.send_response(200 if not mutators.damages else [200, 200, 200, 404, 500][rng.integers(5)])
            self.send_header("Content-Length", str([len(content), len(content) + 5, 10**11][rng.choice(3, p=[0.9, 0.05, 0.05]) if mutators.damages else 0]))  # fmt: skip
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address, details = f"127.0.0.1:{server.server_address[1]}", card_of(folder)

    def attempt(rng):
        state["rng"] = rng
        network = ServedNetwork(address, "hiu", details)
        network._client._timeout = 0.2
        check_finite(network(np.full((1, 64, 64, 3), 0.5)))

    yield attempt
    server.shutdown()


def grpc(folder: Path) -> Iterator[Attempt]:
    """Replies of a gRPC server."""
    import grpc as library
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    from hiu_tf.serving import client
    from hiu_tf.serving.network import ServedNetwork

    client._WAIT_S = 0.001
    answers, state = {}, {}
    for name, tree in served_answers(folder, as_json=False).items():
        message = predict_pb2.PredictResponse()
        for output, array in tree.items():
            message.outputs[output].CopyFrom(tf.make_tensor_proto(array))
        answers[name] = message.SerializeToString()

    def answer(request, _):
        signature = predict_pb2.PredictRequest.FromString(request).model_spec.signature_name
        return mutate(answers[signature], state["rng"])

    handler = library.method_handlers_generic_handler(
        "tensorflow.serving.PredictionService", {"Predict": library.unary_unary_rpc_method_handler(answer)}
    )
    server = library.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    network = ServedNetwork(f"grpc://127.0.0.1:{port}", "hiu", card_of(folder))

    def attempt(rng):
        state["rng"] = rng
        check_finite(network(np.full((1, 64, 64, 3), 0.5)))

    yield attempt
    server.stop(None)


def signature(folder: Path) -> Iterator[Attempt]:
    """Encoded pictures for a server's signatures: outputs are finite, unreadable pictures are reported as invalid."""
    import cv2
    import tensorflow as tf

    model = tf.saved_model.load(str(tiny_saved(folder)))
    good = [cv2.imencode(s, scene())[1].tobytes() for s in (".jpg", ".png", ".bmp")]

    def attempt(rng):
        batch = [good[0], mutate(good[rng.integers(len(good))], rng)]
        found = model.signatures["mesh"](image_bytes=tf.constant(batch))
        check_finite({name: value.numpy() for name, value in found.items()})
        if not found["image_valid"].numpy()[0]:
            raise Wrong("a damaged picture spoils its neighbour")

    yield attempt
