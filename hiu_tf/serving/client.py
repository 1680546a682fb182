"""Clients of a TF Serving server: named arrays in, named arrays out, readable errors.

client = connect("localhost:8501")                      # REST, needs NumPy alone
client = connect("grpc://localhost:8500", model="hiu")  # gRPC, needs hiu-tf[serving]
client.predict("mesh", image_bytes=[open("hand.jpg", "rb").read()])["vertices"]
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import threading
import time
from urllib.parse import quote, unquote, urlsplit

import numpy as np

from hiu_tf.addresses import shown
from hiu_tf.conventions import SERVER_MODEL
from hiu_tf.errors import UserError, install_words

_TIMEOUT_S, _RETRIES, _WAIT_S = 10.0, 3, 0.2
#: Replies with meshes or maps of several pictures exceed gRPC's default of 4 MB.
_LARGEST_REPLY = 256 << 20
_SENT = "image_bytes"


class ServingError(UserError):
    """The server cannot be reached or refuses the request; the message says what to check."""


def connect(address: str, model: str = SERVER_MODEL, timeout: float = _TIMEOUT_S):
    """Makes a client for HOST:PORT or http(s)://[USER:PASSWORD@]HOST:PORT[/PATH] (REST), or grpc://HOST:PORT."""
    kind, _, place = address.rpartition("://")
    if kind not in ("", "http", "https", "grpc"):
        raise ServingError(f"a server is HOST:PORT, http(s)://HOST:PORT or grpc://HOST:PORT, got {shown(address)!r}")
    if ":" not in place.rpartition("@")[2]:
        raise ServingError(f"the server {shown(address)!r} lacks its port (REST listens on 8501, gRPC on 8500)")
    return (
        GrpcClient(place, model, timeout)
        if kind == "grpc"
        else RestClient(f"{kind or 'http'}://{place}", model, timeout)
    )


class RestClient:
    """Client of the REST interface.

    Args:
      address: http(s)://HOST:PORT; with USER:PASSWORD@ before it they are sent to a proxy that asks for them (HTTP Basic),
        and a path after it goes before the server's own.
      model: name of the model on the server.
      timeout: seconds for each try, from the connection to the last byte of the reply.
    """

    #: Whether arrays travel as bytes. JSON's numbers cost more than the network: send pictures.
    sends_bytes = False

    def __init__(self, address: str, model: str, timeout: float = _TIMEOUT_S):
        self._place, self._timeout, self.model = urlsplit(address), timeout, model
        of_model = f"/v1/models/{quote(model)}"
        self._path, self._url = self._place.path.rstrip("/") + of_model, shown(address).rstrip("/") + of_model
        try:
            self._place.port  # noqa: B018  (raises where it is no number)
        except ValueError as error:
            raise ServingError(f"{shown(address)} is no address: {error}") from error

    def predict(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """Requests the outputs of a signature.

        Raises:
          ServingError: no such model or signature, bad inputs, overload, or no valid reply in time.
        """
        body = {"signature_name": signature, "inputs": {name: _as_json(value) for name, value in inputs.items()}}
        try:
            content = json.dumps(body, allow_nan=False).encode()
        except ValueError as error:
            raise ServingError(f"{signature}: JSON knows no infinity and no NaN, inputs must be finite") from error
        outputs = self._field(self._call(":predict", content), "outputs")
        if not isinstance(outputs, dict):  # the server omits the name of a single output
            raise ServingError(f"{self._url}: the signature {signature!r} is not one of an exported hand model")
        return {name: self._array(name, value) for name, value in outputs.items()}

    def is_ready(self) -> bool:
        """Whether a version of the model is loaded."""
        states = self._field(self._call("", None), "model_version_status")
        return isinstance(states, list) and any(isinstance(s, dict) and s.get("state") == "AVAILABLE" for s in states)

    def _call(self, what, body):
        return _with_retries(lambda: self._once(self._path + what, body), self._url)

    def _once(self, path, body):
        kind = http.client.HTTPSConnection if self._place.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._place.hostname, self._place.port, timeout=self._timeout)
        try:
            connection.connect()
        except OSError as error:
            raise _Overload(f"no answer within {self._timeout} s ({error!r})") from error
        # A socket's time-out restarts with each byte; this one also ends a reply that arrives too slowly.
        clock = threading.Timer(self._timeout, _hang_up, [connection.sock])
        clock.start()
        try:
            headers = {"Content-Type": "application/json", **self._authorization()}
            connection.request("GET" if body is None else "POST", path, body, headers)
            with contextlib.closing(connection.getresponse()) as answer:
                content = self._read(answer)
        except (OSError, http.client.HTTPException) as error:
            raise _Overload(f"no answer within {self._timeout} s ({error!r})") from error
        finally:
            clock.cancel()
            connection.close()
        if answer.status in (429, 503):
            raise _Overload(_message(content))
        if answer.status != 200:
            raise ServingError(f"{self._url} answers {answer.status}: {_message(content)}")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ServingError(f"{self._url} does not answer in JSON: {error}") from error

    def _authorization(self):
        if self._place.username is None:
            return {}
        given = f"{unquote(self._place.username)}:{unquote(self._place.password or '')}"
        return {"Authorization": f"Basic {base64.b64encode(given.encode()).decode()}"}

    def _read(self, answer):
        if (answer.length or 0) > _LARGEST_REPLY:
            raise ServingError(f"{self._url} claims an answer of {answer.length} bytes: that is no hand")
        content = answer.read(_LARGEST_REPLY + 1)
        if len(content) > _LARGEST_REPLY:
            raise ServingError(f"{self._url} answers more than {_LARGEST_REPLY} bytes: that is no hand")
        if answer.length:
            raise _Overload(f"the answer ends {answer.length} bytes too early, or took more than {self._timeout} s")
        return content

    def _field(self, answer, name):
        if not isinstance(answer, dict) or name not in answer:
            raise ServingError(f"{self._url}: the answer holds no {name!r}: is this a TF Serving server?")
        return answer[name]

    def _array(self, name, value):
        try:
            return _from_json(name, value)
        except (ValueError, TypeError, KeyError) as error:
            raise ServingError(f"{self._url}: the output {name!r} is no array: {error}") from error


def _hang_up(sock):
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class GrpcClient:
    """Client of the gRPC interface; arguments as for RestClient, with an address without scheme."""

    sends_bytes = True

    def __init__(self, address: str, model: str, timeout: float = _TIMEOUT_S):
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        except ImportError as error:
            words = install_words("serving")
            raise ServingError(f"the gRPC client (grpc://) needs {error.name}, REST does not: {words}") from error
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
        try:
            return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
        except (ValueError, TypeError) as error:
            raise ServingError(f"{self._place}: an output is no array: {error}") from error

    def is_ready(self) -> bool:
        """Whether a version of the model is loaded."""
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self.model
        available = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
        return any(v.state == available for v in self._call(self._models.GetModelStatus, request).model_version_status)

    def close(self) -> None:
        """Closes the connection."""
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
    """The server is overloaded: the request may be repeated."""


def _with_retries(call, place):
    """Repeats a call with increasing delays while the server is busy or not reachable yet."""
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
    if array.dtype.kind not in "fiub":
        raise ValueError(f"it holds {array.dtype}, expected numbers")
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _message(body):
    try:
        return str(json.loads(body)["error"])[:500]
    except (ValueError, KeyError, TypeError, RecursionError):
        return body[:200].decode(errors="replace")
