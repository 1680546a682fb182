"""A test double for tensorflow_model_server: serves a SavedModel by the real gRPC stubs and the REST interface's JSON.

It serves one version of one model and never reloads it. As the server does, it loads the model by TensorFlow's v1
loader, replays warm-up records, and answers errors with the server's codes. It can batch requests by the scheduler that
TensorFlow and TF Serving share, as an operation in a graph instead of around a session. It does not cover the real
server's HTTP layer and version manager.

    python -m tests.serving.double savedmodels/hiu_mobile [serving/config/batching.config]
"""

from __future__ import annotations

import base64
import json
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400, grpc.StatusCode.FAILED_PRECONDITION: 400, grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNAVAILABLE: 503,
}  # fmt: skip


#: Where the kit's monitoring.config puts the Prometheus metrics.
METRICS = "/monitoring/prometheus/metrics"


class Refusal(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


def newest(folder):
    return max(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


class Model:
    """A SavedModel in a v1 session."""

    def __init__(self, folder: Path, name: str):
        self.name, self.version = name, newest(folder)
        path = folder / str(self.version)
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            self.signatures = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(path)).signature_def
        self.busy, self.counts = False, Counter()
        self.warmed = self._warm_up(path / "assets.extra" / "tf_serving_warmup_requests")

    def _warm_up(self, path):
        records = [r.numpy() for r in tf.data.TFRecordDataset(str(path))] if path.exists() else []
        for record in records:
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            self.run(request.model_spec, {k: tf.make_ndarray(v) for k, v in request.inputs.items()})
        return len(records)

    def signature(self, spec):
        if spec.name != self.name:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        if spec.HasField("version") and spec.version.value != self.version:
            raise Refusal(
                grpc.StatusCode.NOT_FOUND,
                f"Servable not found for request: Specific({spec.name}, {spec.version.value})",
            )
        name = spec.signature_name or "serving_default"
        if name not in self.signatures:
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT, f'Serving signature name: "{name}" not found in signature def'
            )
        return self.signatures[name]

    def run(self, spec, arrays, wanted=()):
        status = "OK"
        try:
            return self._run(spec, arrays, wanted)
        except Refusal as refusal:
            status = refusal.code.name
            raise
        finally:
            self.counts[status] += 1

    def _run(self, spec, arrays, wanted):
        if self.busy:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "The batch scheduling queue is full")
        signature = self.signature(spec)
        if set(arrays) != set(signature.inputs):
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input size does not match signature: {len(arrays)}!={len(signature.inputs)}",
            )
        try:
            return self.compute(signature, spec.signature_name or "serving_default", arrays, wanted)
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, " ".join(str(error).split())[:2000]) from error

    def compute(self, signature, name, arrays, wanted):
        del name
        fetches = {k: v.name for k, v in signature.outputs.items() if not wanted or k in wanted}
        return self.session.run(fetches, {signature.inputs[k].name: v for k, v in arrays.items()})


class BatchingModel(Model):
    """Batches requests of the same signature, with the settings of a BatchingParameters text file."""

    def __init__(self, folder: Path, name: str, config: Path):
        parameters = batching_parameters(config)
        loaded = tf.saved_model.load(str(folder / str(newest(folder))))
        self.loaded = loaded  # keeps its variables alive
        self.merged = {name: merging(function, parameters) for name, function in loaded.signatures.items()}
        super().__init__(folder, name)

    def compute(self, signature, name, arrays, wanted):
        kinds = {key: tf.as_dtype(signature.inputs[key].dtype) for key in arrays}
        found = self.merged[name](**{key: tf.constant(value, kinds[key]) for key, value in arrays.items()})
        return {key: value.numpy() for key, value in found.items() if not wanted or key in wanted}


def batching_parameters(path: Path):
    """Reads a batching config with the server's message type, which tensorflow-serving-api does not include."""
    wrapped = ".google.protobuf.Int64Value"
    kind = message(
        "BatchingParameters", max_batch_size=(wrapped, 1, False), batch_timeout_micros=(wrapped, 2, False),
        max_enqueued_batches=(wrapped, 3, False), num_batch_threads=(wrapped, 4, False), allowed_batch_sizes=("int64", 6, True),
    )  # fmt: skip
    return text_format.Parse(path.read_text(), kind())


def message(name, **fields):
    """Declares a message type missing in the server's Python package, by fields (kind, number, repeated)."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=name.lower(), syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    made = file.message_type.add(name=name)
    for key, (kind, number, repeated) in fields.items():
        field = made.field.add(name=key, number=number, label=3 if repeated else 1)
        if "." in kind:
            field.type, field.type_name = 11, kind
        else:
            field.type = {"int64": 3, "bool": 8, "string": 9}[kind]
    from google.protobuf import wrappers_pb2

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"{name.lower()}.{name}")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(found)
    return message_factory.MessageFactory(pool).GetPrototype(found)  # protobuf 3


def merging(function, parameters):
    """Wraps the function to run on merged batches."""
    inputs, outputs = sorted(function.structured_input_signature[1]), sorted(function.structured_outputs)

    @tf.nondifferentiable_batch_function(
        num_batch_threads=parameters.num_batch_threads.value,
        max_batch_size=parameters.max_batch_size.value,
        batch_timeout_micros=parameters.batch_timeout_micros.value,
        allowed_batch_sizes=list(parameters.allowed_batch_sizes),
        max_enqueued_batches=parameters.max_enqueued_batches.value,
        autograph=False,
    )
    def merged(*tensors):
        found = function(**dict(zip(inputs, tensors)))
        return [found[name] for name in outputs]

    @tf.function(autograph=False)
    def call(**tensors):
        return dict(zip(outputs, merged(*(tensors[name] for name in inputs))))

    return call


class Grpc(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, model):
        self.model = model

    def Predict(self, request, context):
        try:
            arrays = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
            found = self.model.run(request.model_spec, arrays, request.output_filter)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.text)
        answer = predict_pb2.PredictResponse()
        for name, value in found.items():
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return answer

    def GetModelStatus(self, request, context):
        try:
            self.model.signature(request.model_spec)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.text)
        answer = get_model_status_pb2.GetModelStatusResponse()
        answer.model_version_status.add(
            version=self.model.version, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE
        )
        return answer


def rest_handler(model):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            if self.path == METRICS:
                self._send(200, "text/plain", metrics(model).encode())
            else:
                self._answer(self._status)

        def do_POST(self):
            self._answer(self._predict)

        def _answer(self, what):
            try:
                code, content = 200, what()
            except Refusal as refusal:
                code, content = HTTP[refusal.code], {"error": refusal.text}
            self._send(code, "application/json", json.dumps(content).encode())

        def _send(self, code, kind, body):
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _spec(self):
            name, _, verb = self.path.removeprefix("/v1/models/").partition(":")
            name, _, version = name.partition("/versions/")
            spec = predict_pb2.PredictRequest().model_spec
            spec.name = name
            if version:
                spec.version.value = int(version)
            return spec, verb

        def _status(self):
            model.signature(self._spec()[0])
            status = {"error_code": "OK", "error_message": ""}
            return {"model_version_status": [{"version": str(model.version), "state": "AVAILABLE", "status": status}]}

        def _predict(self):
            spec, verb = self._spec()
            try:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            except ValueError as error:
                raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"JSON Parse error: {error}") from error
            if verb != "predict" or ("inputs" in body) == ("instances" in body):
                raise Refusal(
                    grpc.StatusCode.INVALID_ARGUMENT, "JSON Value: should have exactly one of inputs and instances"
                )
            spec.signature_name = body.get("signature_name", "")
            signature = model.signature(spec)
            rows = "instances" in body
            columns = as_columns(body["instances"], signature) if rows else as_named(body["inputs"], signature)
            arrays = {
                name: as_array(value, signature.inputs[name])
                for name, value in columns.items()
                if name in signature.inputs
            }
            found = {name: as_json(value) for name, value in model.run(spec, arrays).items()}
            if rows:
                count = len(next(iter(found.values())))
                return {"predictions": [{name: value[n] for name, value in found.items()} for n in range(count)]}
            return {"outputs": found if len(found) > 1 else next(iter(found.values()))}

    return Handler


def metrics(model):
    """The answered requests, by the name and labels of the server's own counter."""
    name = ":tensorflow:serving:request_count"
    rows = [f'{name}{{model_name="{model.name}",status="{code}"}} {count}' for code, count in model.counts.items()]
    return "\n".join([f"# TYPE {name} counter", *rows]) + "\n"


def as_named(inputs, signature):
    return inputs if isinstance(inputs, dict) and "b64" not in inputs else {next(iter(signature.inputs)): inputs}


def as_columns(instances, signature):
    if isinstance(instances[0], dict) and "b64" not in instances[0]:
        return {name: [row[name] for row in instances] for name in instances[0]}
    return {next(iter(signature.inputs)): instances}


def as_array(value, tensor):
    kind = tf.as_dtype(tensor.dtype)
    try:
        if kind == tf.string:
            decoded = [base64.b64decode(v["b64"], validate=True) if isinstance(v, dict) else v.encode() for v in value]
            return np.array(decoded, object)
        return np.array(value, kind.as_numpy_dtype)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT, f"JSON Value: {error}, Type: is not of expected type: {kind.name}"
        ) from error


def as_json(value):
    if value.dtype == object:
        return [{"b64": base64.b64encode(part).decode()} for part in value]
    return value.tolist()


def start(folder: Path, name: str = "hiu", batching: Path | None = None):
    """Starts both servers. Returns (model, gRPC port, REST port, function that stops both)."""
    model = BatchingModel(folder, name, batching) if batching else Model(folder, name)
    server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", -1)])
    servicer = Grpc(model)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    rest = ThreadingHTTPServer(("127.0.0.1", 0), rest_handler(model))
    threading.Thread(target=rest.serve_forever, daemon=True).start()

    def stop():
        server.stop(None)
        rest.shutdown()
        rest.server_close()

    return model, grpc_port, rest.server_address[1], stop


if __name__ == "__main__":
    _, grpc_port, rest_port, _ = start(Path(sys.argv[1]), batching=Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    print(f"a stand-in, no TF Serving: gRPC on {grpc_port}, REST on {rest_port}", flush=True)
    threading.Event().wait()
