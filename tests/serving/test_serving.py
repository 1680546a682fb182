"""Both clients against the test double (double.py); the kit's files are parsed by the server's own message types."""

import http.client
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
import yaml

from hiu_tf.serving import client as client_module
from hiu_tf.serving.client import GrpcClient, ServingError, connect
from hiu_tf.serving.kit import BATCH_SIZES, write_kit, write_warmup
from tests.conformance.test_signatures import encoded, scene

pytest.importorskip("tensorflow_serving")
#: host:port of a real tensorflow_model_server with the model "hiu", for `make serving-check`.
REAL = os.environ.get("HIU_SERVER")


@pytest.fixture(scope="module")
def folder(tiny_model):
    write_warmup(tiny_model / "1", 64, encoded(scene()))
    return tiny_model


@pytest.fixture(scope="module")
def server(folder):
    from tests.serving.double import start

    model, grpc_port, rest_port, stop = start(folder)
    yield {"model": model, "grpc": f"grpc://127.0.0.1:{grpc_port}", "rest": f"127.0.0.1:{rest_port}"}
    stop()


@pytest.fixture(scope="module", params=("rest", "grpc"))
def client(request, server):
    made = connect(server[request.param])
    yield made
    if isinstance(made, GrpcClient):
        made.close()


@pytest.fixture(scope="module")
def direct(folder):
    loaded = tf.saved_model.load(str(folder / "1"))
    return lambda name, **inputs: {k: v.numpy() for k, v in loaded.signatures[name](**inputs).items()}


INPUTS = {
    "serving_default": {"image_bytes": [encoded(scene()), b"broken"]},
    "mesh": {"image_bytes": [encoded(scene(64, 64))]},
    "mask": {"image_bytes": [encoded(scene())]},
    "located": {
        "image_bytes": [encoded(scene())], "box": np.array([[10, 10, 50, 60]], np.float32), "side": np.array([1], np.int32),
        "intrinsics": np.array([[[100, 0, 45], [0, 100, 60], [0, 0, 1]]], np.float32),
    },
    "images_uint8": {"images": scene()[np.newaxis]},
    "tensor": {"image": np.random.default_rng(1).random((1, 64, 64, 3), np.float32)},
    "tensor_uint8": {"image": scene(64, 64)[np.newaxis]},
}  # fmt: skip


@pytest.mark.parametrize("signature", INPUTS)
def test_the_wire_changes_no_number(signature, client, direct):
    inputs = INPUTS[signature]
    found = client.predict(signature, **inputs)
    expected = direct(signature, **{name: tf.constant(value) for name, value in inputs.items()})
    assert set(found) == set(expected)
    for name, value in expected.items():
        if value.dtype == object:
            assert list(found[name]) == list(value)
        else:
            np.testing.assert_allclose(found[name], value, atol=1e-5, rtol=1e-5, err_msg=name)


def test_readiness(client):
    assert client.is_ready()


def test_warm_up_is_replayed(server):
    assert server["model"].warmed == 8 * len(BATCH_SIZES)


@pytest.mark.slow
def test_merged_requests_do_not_see_each_other(folder, direct, tmp_path):
    """Twelve concurrent clients, one with a broken picture, with batching by the kit's config."""
    from tests.serving.double import start

    write_kit(folder, tmp_path)
    model, port, _, stop = start(folder, batching=tmp_path / "config" / "batching.config")
    pictures = [encoded(scene(40 + 10 * n, 60)) for n in range(11)] + [b"broken"]
    try:
        with ThreadPoolExecutor(len(pictures)) as pool:
            client = connect(f"grpc://127.0.0.1:{port}")
            found = list(pool.map(lambda picture: client.predict("serving_default", image_bytes=[picture]), pictures))
        client.close()
    finally:
        stop()
    for picture, answer in zip(pictures, found):
        for name, value in direct("serving_default", image_bytes=tf.constant([picture])).items():
            np.testing.assert_allclose(answer[name], value, atol=1e-3, err_msg=name)
    assert [bool(answer["image_valid"][0]) for answer in found] == [True] * 11 + [False]


@pytest.mark.parametrize("kind", ("rest", "grpc"))
def test_errors_say_what_to_look_at(kind, server, monkeypatch):
    monkeypatch.setattr(client_module, "_WAIT_S", 0.01)
    good = INPUTS["serving_default"]
    for name, call, message in (
        ("no model", lambda: connect(server[kind], "foot").predict("mesh", **good), "Servable not found"),
        ("no signature", lambda: connect(server[kind]).predict("mash", **good), "not found in signature def"),
        ("no input", lambda: connect(server[kind]).predict("mesh", picture=[b"x"]), "(input|expected|signature)"),
        ("wrong size", lambda: connect(server[kind]).predict("tensor", image=np.zeros((1, 8, 8, 3), np.float32)), r"\[batch, 64, 64, 3\]"),
    ):  # fmt: skip
        with pytest.raises(ServingError, match=message):
            call()
            pytest.fail(name)
    server["model"].busy = True
    try:
        with pytest.raises(ServingError, match="overloaded after 3 tries"):
            connect(server[kind]).predict("mesh", **good)
    finally:
        server["model"].busy = False


@pytest.mark.parametrize("address", ("127.0.0.1:9", "grpc://127.0.0.1:9"))
def test_nobody_there(address, monkeypatch):
    monkeypatch.setattr(client_module, "_WAIT_S", 0.01)
    with pytest.raises(ServingError, match="cannot be reached or is overloaded after 3 tries"):
        connect(address, timeout=2).predict("mesh", image_bytes=[b""])


@pytest.mark.parametrize("answer", (b"no HTTP at all\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"))
def test_something_else_listens_there(answer, monkeypatch):
    monkeypatch.setattr(client_module, "_WAIT_S", 0.01)

    class Other(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1 << 16)
            self.request.sendall(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(ServingError, match="after 3 tries"):
            connect(f"127.0.0.1:{other.server_address[1]}", timeout=2).predict("mesh", image_bytes=[b""])
        other.shutdown()
    with pytest.raises(ServingError, match="is no address"):
        connect("127.0.0.1:some port").predict("mesh", image_bytes=[b""])


@pytest.mark.parametrize(
    ("address", "message"), [("ftp://a:1", "a server is HOST:PORT"), ("localhost", "lacks its port")]
)
def test_bad_addresses(address, message):
    with pytest.raises(ServingError, match=message):
        connect(address)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("{", 400, "JSON Parse error"), ('{"instances": [], "inputs": []}', 400, "exactly one"),
        ('{"inputs": {"image_bytes": [{"b64": "not base64!"}]}}', 400, "image_bytes|JSON Value"),
        ('{"signature_name": "tensor", "inputs": {"image": [["a"]]}}', 400, "float32"),
    ],
)  # fmt: skip
def test_bad_bodies_get_words_and_a_code(body, code, message, server):
    host, port = server["rest"].split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("POST", "/v1/models/hiu:predict", body)
    answer = connection.getresponse()
    text = json.loads(answer.read())["error"]
    connection.close()
    assert answer.status == code
    assert re.search(message, text) or code == 400


def test_rows_and_columns_say_the_same(server):
    """The two forms of the REST interface, as curl sends them."""
    import base64

    picture = {"b64": base64.b64encode(encoded(scene())).decode()}
    answers = []
    for body in ({"instances": [picture]}, {"inputs": [picture]}):
        url = f"http://{server['rest']}/v1/models/hiu/versions/1:predict"
        with urllib.request.urlopen(url, json.dumps(body).encode()) as answer:
            answers.append(json.loads(answer.read()))
    np.testing.assert_allclose(answers[0]["predictions"][0]["joints_3d"], answers[1]["outputs"]["joints_3d"][0])


def test_the_rest_client_needs_no_tensorflow():
    code = (
        "import sys\nfrom hiu_tf.serving.client import connect\nconnect('localhost:1')\n"
        "assert not {'tensorflow', 'grpc'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def kit(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("kit")
    write_kit(folder, out)
    return out


def test_models_config_is_the_servers(kit):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    text = (kit / "config" / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config[0]
    assert (config.name, config.base_path, config.model_platform) == ("hiu", "/models/hiu", "tensorflow")
    assert config.model_version_policy.latest.num_versions == 1
    with pytest.raises(text_format.ParseError, match="basepath"):
        text_format.Parse(text.replace("base_path", "basepath"), model_server_config_pb2.ModelServerConfig())


def test_batching_and_monitoring_configs(kit):
    from google.protobuf import text_format

    from tests.serving.double import batching_parameters, message

    found = batching_parameters(kit / "config" / "batching.config")
    assert list(found.allowed_batch_sizes) == sorted(BATCH_SIZES)
    assert found.allowed_batch_sizes[-1] == found.max_batch_size.value
    prometheus = message("PrometheusConfig", enable=("bool", 1, False), path=("string", 2, False))
    inner = re.search(r"\{(.*)\}", (kit / "config" / "monitoring.config").read_text(), re.S).group(1)
    found = text_format.Parse(inner, prometheus())
    assert found.enable
    assert found.path == "/monitoring/prometheus/metrics"


def test_manifests_agree_with_the_configs(kit):
    compose = yaml.safe_load((kit / "docker-compose.yaml").read_text())["services"]["hiu"]
    deployment, service = (manifests(kit)[kind] for kind in ("Deployment", "Service"))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert compose["command"] == container["args"]
    flags = dict(flag.removeprefix("--").split("=") for flag in container["args"])
    assert flags["model_config_file"] == "/config/models.config"
    assert {flags["port"], flags["rest_api_port"]} == {"8500", "8501"}
    assert (
        {p["port"] for p in service["spec"]["ports"]}
        == {p["containerPort"] for p in container["ports"]}
        == {8500, 8501}
    )
    assert "GET /v1/models/hiu " in container["readinessProbe"]["exec"]["command"][-1]
    assert compose["image"] == container["image"]
    assert compose["healthcheck"]["test"][:3] == ["CMD", "bash", "-c"], "the image's sh has no /dev/tcp"


def manifests(kit):
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all((kit / "kubernetes.yaml").read_text())}


@pytest.mark.parametrize("release", ("1.25", "1.29", "1.33"))
def test_kubernetes_takes_the_manifests(release, kit):
    """Against Kubernetes' own schemas; a field that they do not know is an error."""
    validate = pytest.importorskip("kubernetes_validate")
    for manifest in manifests(kit).values():
        validate.validate(manifest, release, strict=True)
    deployment = manifests(kit)["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(validate.ValidationError):
        validate.validate(deployment, release, strict=True)


def test_the_manifests_create_everything_that_they_name(kit):
    found = manifests(kit)
    pod = found["Deployment"]["spec"]["template"]
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claim == found["PersistentVolumeClaim"]["metadata"]["name"]
    assert volumes["config"]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    containers = pod["spec"]["containers"] + pod["spec"]["initContainers"]
    assert {mount["name"] for container in containers for mount in container["volumeMounts"]} == set(volumes)
    assert found["Service"]["spec"]["selector"] == pod["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    written = {path.name: path.read_text() for path in (kit / "config").iterdir()}
    assert found["ConfigMap"]["data"] == written
    flags = pod["spec"]["containers"][0]["args"]
    named = [flag.partition("=/config/")[2] for flag in flags if "=/config/" in flag]
    assert set(named) < set(written)


def test_the_pod_waits_for_a_whole_model(kit, tmp_path):
    """A half copied version lies in a folder that is no number, and does not count."""
    wait = manifests(kit)["Deployment"]["spec"]["template"]["spec"]["initContainers"][0]["command"][-1]
    condition = wait.removeprefix("until ").removesuffix("; do sleep 2; done").replace("/models/hiu", str(tmp_path))
    has_model = lambda: subprocess.run(["bash", "-c", condition], check=False).returncode == 0
    assert not has_model()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "saved_model.pb").touch()
    assert not has_model()
    (tmp_path / "new").rename(tmp_path / "1")
    assert has_model()


@pytest.mark.parametrize(("name", "ready"), [("hiu", True), ("foot", False)])
def test_the_readiness_probe_asks_for_the_model(name, ready, kit, server):
    container = manifests(kit)["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    command = list(container["readinessProbe"]["exec"]["command"])
    port = server["rest"].rpartition(":")[2]
    command[-1] = command[-1].replace("/8501", f"/{port}").replace("/models/hiu", f"/models/{name}")
    assert (subprocess.run(command, check=False).returncode == 0) == ready


def test_metrics_are_where_the_files_say(kit, server):
    """The path of monitoring.config and of the pod's annotations, and the server's names of its counters."""
    pod = manifests(kit)["Deployment"]["spec"]["template"]
    path = pod["metadata"]["annotations"]["prometheus.io/path"]
    assert f'path: "{path}"' in (kit / "config" / "monitoring.config").read_text()

    def answered(status):
        with urllib.request.urlopen(f"http://{server['rest']}{path}") as answer:
            text = answer.read().decode()
        counted = f':tensorflow:serving:request_count{{model_name="hiu",status="{status}"}} '
        return sum(int(line.removeprefix(counted)) for line in text.splitlines() if line.startswith(counted))

    before = {status: answered(status) for status in ("OK", "INVALID_ARGUMENT")}
    client = connect(server["rest"])
    client.predict("mesh", **INPUTS["mesh"])
    with pytest.raises(ServingError):
        client.predict("tensor", image=np.zeros((1, 8, 8, 3), np.float32))
    assert {status: answered(status) - count for status, count in before.items()} == {"OK": 1, "INVALID_ARGUMENT": 1}


def test_a_kit_needs_a_model(tmp_path):
    from hiu_tf.errors import UserError

    with pytest.raises(UserError, match="no numbered version"):
        write_kit(tmp_path, tmp_path / "kit")


@pytest.mark.parametrize("name", ("my_hand", "Hand", "-hand", "hand-", "4hands", "h" * 60, ""))
def test_names_that_kubernetes_does_not_take(name, folder, tmp_path):
    from hiu_tf.errors import UserError

    with pytest.raises(UserError, match="small letters, digits and dashes"):
        write_kit(folder, tmp_path, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not REAL, reason="HIU_SERVER names no real server")
@pytest.mark.parametrize("signature", sorted(set(INPUTS) - {"tensor"}))
def test_a_real_server(signature):
    """The same requests to tensorflow_model_server: broken pictures are reported as invalid, everything is finite."""
    found = connect(REAL).predict(signature, **INPUTS[signature])
    assert found["image_valid"].tolist() == [True, False][: len(found["image_valid"])]
    assert all(np.isfinite(value).all() for value in found.values() if value.dtype != object)


def test_hiu_predict_asks_a_server(server, folder, tmp_path):
    """The whole program with predictions from the server."""
    import cv2

    from hiu_tf.cli import main

    cv2.imwrite(str(tmp_path / "hand.png"), scene(120, 160))
    options = ["--model", str(folder), "--box", "30,20,80,80", "--side", "left", "--no-fit"]
    for name, more in (("local", []), ("rest", ["--server", server["rest"]]), ("grpc", ["--server", server["grpc"]])):
        assert main(["predict", str(tmp_path / "hand.png"), "--out", str(tmp_path / name), *options, *more]) == 0
    answers = [
        json.loads((tmp_path / name / "hand.json").read_text())["hands"][0] for name in ("local", "rest", "grpc")
    ]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer["joints_3d"], answers[0]["joints_3d"], atol=1e-5)
    for more in (["--server", "nowhere"], ["--server", server["rest"], "--server-model", "foot"]):
        assert main(["predict", str(tmp_path / "hand.png"), "--out", str(tmp_path / "x"), *options, *more]) == 1


@pytest.mark.long
def test_hiu_benchmark_times_a_server(server, capsys):
    from hiu_tf.cli import main

    assert main(["benchmark", server["grpc"], f"http://{server['rest']}", "--clients", "1,2", "--crop", "64"]) == 0
    text = capsys.readouterr().out
    assert text.count("| server | 1 |") == text.count("| server | 2 |") == 2
    assert "| crop a second |" in text
