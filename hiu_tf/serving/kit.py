"""Writes configuration files for a TF Serving server of an exported model.

The tests parse every text proto with the server's own message types.
"""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

from hiu_tf.atomic import written_whole
from hiu_tf.conventions import SERVER_MODEL
from hiu_tf.errors import UserError

#: Version of the server's container; the flags below are those of this release.
IMAGE = "tensorflow/serving:2.15.1"
#: Allowed batch sizes in ascending order; the last one is the largest batch that the server forms.
BATCH_SIZES = (1, 2, 4, 8)
#: Valid names of a service in Kubernetes.
NAME = re.compile(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?")
WARMUP = "tf_serving_warmup_requests"

_MODELS = """model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""
_BATCHING = """max_batch_size {{ value: {largest} }}
batch_timeout_micros {{ value: 1000 }}
max_enqueued_batches {{ value: 64 }}
num_batch_threads {{ value: 2 }}
{sizes}
"""
_MONITORING = """prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""
_COMPOSE = """services:
  {name}:
    image: {image}
    entrypoint: ["tensorflow_model_server"]
    command: {flags}
    ports: ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]  # this machine alone; docs/serving.md: TLS and log-in in front
    volumes:
      - "{model}:/models/{name}:ro"
      - "./config:/config:ro"
    healthcheck:
      test: ["CMD", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8501"]
      interval: 10s
"""
#: Whether a version of the model is in the volume; it is moved there whole (docs/serving.md).
_HAS_MODEL = "compgen -G '/models/{name}/[0-9]*/saved_model.pb' >/dev/null"
_KUBERNETES = """apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}-config}}
data:
{config}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {name}-model}}
spec:
  accessModes: [ReadWriteOnce]  # what every storage class offers; with ReadWriteMany there may be more replicas
  resources: {{requests: {{storage: 1Gi}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 1
  strategy: {{type: Recreate}}  # a second pod on another node could not mount the volume
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {{prometheus.io/scrape: "true", prometheus.io/port: "8501", prometheus.io/path: /monitoring/prometheus/metrics}}
    spec:
      initContainers:  # waits until a model is copied into the volume
        - name: model
          image: {image}
          command: [bash, -c, "until {has_model}; do sleep 2; done"]
          volumeMounts: [{{name: models, mountPath: /models/{name}}}]
      containers:
        - name: server
          image: {image}
          command: [tensorflow_model_server]
          args: {flags}
          ports: [{{containerPort: 8500}}, {{containerPort: 8501}}]
          resources: {{requests: {{cpu: "2", memory: 1Gi}}, limits: {{memory: 2Gi}}}}
          startupProbe: {{tcpSocket: {{port: 8500}}, failureThreshold: 60, periodSeconds: 2}}
          readinessProbe:
            exec: {{command: [bash, -c, "exec 3<>/dev/tcp/127.0.0.1/8501; printf 'GET /v1/models/{name} HTTP/1.0\\r\\n\\r\\n' >&3; grep -q AVAILABLE <&3"]}}
          livenessProbe: {{tcpSocket: {{port: 8500}}, periodSeconds: 10}}
          volumeMounts:
            - {{name: models, mountPath: /models/{name}}}  # writable: the next version is copied in here
            - {{name: config, mountPath: /config, readOnly: true}}
      volumes:
        - {{name: models, persistentVolumeClaim: {{claimName: {name}-model}}}}
        - {{name: config, configMap: {{name: {name}-config}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: grpc, port: 8500}}, {{name: rest, port: 8501}}]
"""
_FLAGS = (
    "--port=8500", "--rest_api_port=8501", "--model_config_file=/config/models.config",
    "--monitoring_config_file=/config/monitoring.config", "--file_system_poll_wait_seconds=10",
    "--rest_api_timeout_in_ms=30000",
)  # fmt: skip


def write_kit(model: Path, out: Path, name: str = SERVER_MODEL) -> list[Path]:
    """Writes config/ (models, batching, monitoring), docker-compose.yaml and kubernetes.yaml for an exported model.

    kubernetes.yaml stands alone: it holds the same configs, and a volume into which the model is copied.

    The batching config is written but not enabled: on CPUs batching costs more than it gains. With GPUs add
    --enable_batching --batching_parameters_file=/config/batching.config to the flags.

    Args:
      model: folder NAME with numbered versions.
      out: folder for the files.
      name: name of the model on the server.

    Raises:
      UserError: the folder has no version of a model, or the name is not valid in Kubernetes.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"a server's model takes small letters, digits and dashes, from a letter on: {name!r} does not fit"
        )
    newest_served(model)
    flags = "[" + ", ".join(f'"{flag}"' for flag in _FLAGS) + "]"
    sizes = "\n".join(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES)
    words = {
        "name": name,
        "image": IMAGE,
        "flags": flags,
        "model": model.resolve(),
        "largest": BATCH_SIZES[-1],
        "sizes": sizes,
    }
    configs = {
        "models.config": _MODELS.format(**words),
        "batching.config": _BATCHING.format(**words),
        "monitoring.config": _MONITORING,
    }
    words["config"] = "\n".join(f"  {file}: |\n{indent(text.rstrip(), '    ')}" for file, text in configs.items())
    words["has_model"] = _HAS_MODEL.format(**words)
    files = {
        **{f"config/{file}": text for file, text in configs.items()},
        "docker-compose.yaml": _COMPOSE.format(**words),
        "kubernetes.yaml": _KUBERNETES.format(**words),
    }
    for path, text in files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        with written_whole(out / path) as scratch:
            scratch.write_text(text)
    return [out / path for path in files]


def newest_served(model: Path) -> Path:
    """The folder of a model's highest version.

    Raises:
      UserError: the folder has no version of a model.
    """
    found = [path for path in model.glob("*") if path.name.isdecimal() and (path / "saved_model.pb").is_file()]
    if not found:
        raise UserError(f"{model} holds no numbered version of a SavedModel: export one first (hiu export)")
    return max(found, key=lambda path: int(path.name))


def write_warmup(version: Path, size: int, picture: bytes, name: str = SERVER_MODEL) -> Path:
    """Writes the warm-up requests that a server replays before a version is available, by signature and batch size.

    Args:
      version: folder NAME/VERSION of a SavedModel.
      size: side of the network's crops.
      picture: an encoded picture.

    Needs hiu-tf[serving].
    """
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    path = version / "assets.extra" / WARMUP
    with written_whole(path) as scratch, tf.io.TFRecordWriter(str(scratch)) as writer:
        for batch in BATCH_SIZES:
            crops = np.zeros((batch, size, size, 3), np.float32)
            encoded = {"image_bytes": np.array([picture] * batch, object)}
            located = {
                "box": np.zeros((batch, 4), np.float32),
                "side": np.zeros(batch, np.int32),
                "intrinsics": np.zeros((batch, 3, 3), np.float32),
            }
            images = np.zeros((batch, size, size, 3), np.uint8)
            requests = {
                "serving_default": encoded, "mesh": encoded, "mask": encoded, "located": encoded | located,
                "images_uint8": {"images": images}, "tensor": {"image": crops}, "tensor_uint8": {"image": images},
                "dense": {"image": crops},
            }  # fmt: skip
            for signature, inputs in requests.items():
                request = predict_pb2.PredictRequest()
                request.model_spec.name, request.model_spec.signature_name = name, signature
                for key, value in inputs.items():
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(log.SerializeToString())
    return path
