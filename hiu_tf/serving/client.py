"""Asks a TF Serving server: named arrays in, named arrays out, errors in words.

client = connect("localhost:8501")                      # REST, needs NumPy alone
client = connect("grpc://localhost:8500", model="hiu")  # gRPC, needs hiu-tf[serving]
client.predict("mesh", image_bytes=[open("hand.jpg", "rb").read()])["vertices"]
"""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.error
import urllib.request

import numpy as np

from hiu_tf.conventions import SERVER_MODEL
from hiu_tf.errors import UserError

_TIMEOUT_S, _RETRIES, _WAIT_S = 10.0, 3, 0.2
#: Replies with meshes or maps of some pictures are larger than gRPC's 4 MB.
_LARGEST_REPLY = 256 << 20
_SENT = "image_bytes"


class ServingError(UserError):
    """The server cannot be reached, or says no; the message says what to look at."""


def connect(address: str, model: str = SERVER_MODEL, timeout: float = _TIMEOUT_S):
    """A client for HOST:PORT or http://HOST:PORT (REST), or grpc://HOST:PORT."""
    kind, _, place = address.rpartition("://")
    if kind not in ("", "http", "https", "grpc"):
        raise ServingError(f"a server is HOST:PORT, http(s)://HOST:PORT or grpc://HOST:PORT, got {address!r}")
    if ":" not in place:
        raise ServingError(f"the server {address!r} lacks its port (REST listens on 8501, gRPC on 8500)")
    return (
        GrpcClient(place, model, timeout)
        if kind == "grpc"
        else RestClient(f"{kind or 'http'}://{place}", model, timeout)
    )


class RestClient:
    """The REST interface.

    Args:
      address: http://HOST:PORT.
      model: its name on the server.
      timeout: seconds for each try.
    """

    def __init__(self, address: str, model: str, timeout: float = _TIMEOUT_S):
        self._url, self._timeout, self.model = f"{address}/v1/models/{model}", timeout, model

    def predict(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """The outputs of a signature.

        Raises:
          ServingError: no such model or signature, bad inputs, overload, or no answer in time.
        """
        body = {"signature_name": signature, "inputs": {name: _as_json(value) for name, value in inputs.items()}}
        outputs = self._call(":predict", json.dumps(body).encode())["outputs"]
        if not isinstance(outputs, dict):  # the server leaves out the name of an only output
            raise ServingError(f"{self._url}: the signature {signature!r} is not one of an exported hand model")
        return {name: _from_json(name, value) for name, value in outputs.items()}

    def is_ready(self) -> bool:
        """Whether a version of the model is loaded."""
        states = self._call("", None)["model_version_status"]
        return any(state["state"] == "AVAILABLE" for state in states)

    def _call(self, what, body):
        request = urllib.request.Request(self._url + what, body, {"Content-Type": "application/json"})
        return _with_retries(lambda: self._once(request), self._url)

    def _once(self, request):
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            text = _message(error.read())
            if error.code in (429, 503):
                raise _Overload(text) from error
            raise ServingError(f"{self._url} answers {error.code}: {text}") from error
        except http.client.InvalidURL as error:
            raise ServingError(f"{self._url} is no address: {error}") from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", None) or repr(error)
            raise _Overload(f"no answer ({reason})") from error
        except ValueError as error:
            raise ServingError(f"{self._url} does not answer in JSON: {error}") from error


class GrpcClient:
    """The gRPC interface; arguments as RestClient's, without a scheme."""

    def __init__(self, address: str, model: str, timeout: float = _TIMEOUT_S):
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        except ImportError as error:
            raise ServingError("the gRPC client needs pip install hiu-tf[serving]; REST does not") from error
        self._channel = grpc.insecure_channel(address, [("grpc.max_receive_message_length", _LARGEST_REPLY)])
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._place, self._timeout, self.model = f"grpc://{address}", timeout, model

    def predict(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """As RestClient.predict."""
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self.model, signature
        for name, value in inputs.items():
            array = np.array(value, object) if name == _SENT else np.asarray(value)
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        answer = self._call(self._stub.Predict, request)
        return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}

    def is_ready(self) -> bool:
        """Whether a version of the model is loaded."""
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self.model
        available = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
        return any(v.state == available for v in self._call(self._models.GetModelStatus, request).model_version_status)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def _call(self, method, request):
        return _with_retries(lambda: self._once(method, request), self._place)

    def _once(self, method, request):
        import grpc

        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            text = f"{error.code().name}: {error.details()}"
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
                raise _Overload(text) from error
            raise ServingError(f"{self._place} answers {text}") from error


class _Overload(Exception):
    """Worth another try."""


def _with_retries(call, place):
    """Tries again, a little later each time, where the server is busy or not there yet."""
    for attempt in range(_RETRIES):
        try:
            return call()
        except _Overload as error:
            last = error
            time.sleep(_WAIT_S * 2**attempt if attempt + 1 < _RETRIES else 0)
    raise ServingError(f"{place} cannot be reached or is overloaded after {_RETRIES} tries: {last}")


def _as_json(value):
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_as_json(part) for part in value] if isinstance(value, (list, tuple)) else value


def _from_json(name, value):
    if name.endswith("_bytes"):
        return np.array([base64.b64decode(part["b64"]) for part in value], object)
    array = np.array(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _message(body):
    try:
        return json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
