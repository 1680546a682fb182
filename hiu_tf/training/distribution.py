"""Which devices and workers train together."""

from __future__ import annotations

import json
import os

import tensorflow as tf

from hiu_tf.errors import UserError

_TIMEOUT_S = 120  # a worker that is gone ends the others instead of leaving them waiting


def strategy() -> tf.distribute.Strategy:
    """All workers of TF_CONFIG, or all devices of this machine: GPUs, else logical CPUs; else one device.

    Must be called before anything else of TensorFlow where there are several workers.

    Raises:
      UserError: TF_CONFIG is no cluster of workers.
    """
    if os.environ.get("TF_CONFIG"):
        _checked_cluster(os.environ["TF_CONFIG"])
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=_TIMEOUT_S)
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    for kind in ("GPU", "CPU"):
        devices = tf.config.list_logical_devices(kind)
        if len(devices) > 1:
            return tf.distribute.MirroredStrategy([device.name for device in devices])
        if devices:
            return tf.distribute.OneDeviceStrategy(devices[0].name)
    raise RuntimeError("TensorFlow sees no device")


def worker() -> tuple[int, int]:
    """(number of this worker, how many there are) under the strategy in scope."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    if resolver is None or not resolver.task_type:
        return 0, 1
    workers = resolver.cluster_spec().as_dict()
    index = resolver.task_id + (len(workers.get("chief", [])) if resolver.task_type == "worker" else 0)
    return index, sum(len(addresses) for addresses in workers.values())


def distributed(data, batch_size: int):
    """What each worker's `data(worker, workers)` yields, as one input for Keras' fit.

    A worker's batches hold its share of the batch; on several devices of one worker they are cut again.
    """
    number, workers = worker()
    if workers == 1:
        return data(0, 1)
    devices = tf.distribute.get_strategy()
    each = batch_size // devices.num_replicas_in_sync
    local = data(number, workers)
    if devices.num_replicas_in_sync > workers:
        local = local.rebatch(each, drop_remainder=True)
    return devices.distribute_datasets_from_function(lambda context: local)


def _checked_cluster(text):
    try:
        config = json.loads(text)
        kinds = set(config["cluster"])
        task = config["task"]
        config["cluster"][task["type"]][int(task["index"])]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            f'TF_CONFIG must hold {{"cluster": {{"worker": ["host:port", ...]}}, "task": {{"type", "index"}}}}, got {text!r}'
        ) from error
    if not kinds <= {"chief", "worker"}:
        raise UserError(f"TF_CONFIG names {sorted(kinds)}; only workers (and a chief) train here")
