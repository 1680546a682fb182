"""Distribution of training over devices and workers."""

from __future__ import annotations

import json
import os

import tensorflow as tf

from hiu_tf.errors import UserError

_TIMEOUT_S = 120  # after this time the loss of a worker ends the others


def strategy() -> tf.distribute.Strategy:
    """Strategy over all workers of TF_CONFIG, or over all devices of this machine: GPUs, else logical CPUs.

    With several workers, call it before any other TensorFlow function.

    Raises:
      UserError: TF_CONFIG is not a valid cluster of workers.
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
    """(index of this worker, number of workers) of the strategy in scope."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    if resolver is None or not resolver.task_type:
        return 0, 1
    workers = resolver.cluster_spec().as_dict()
    index = resolver.task_id + (len(workers.get("chief", [])) if resolver.task_type == "worker" else 0)
    return index, sum(len(addresses) for addresses in workers.values())


def distributed(data, batch_size: int):
    """Joins the data sets `data(worker, workers)` of all workers to one input for Keras' fit.

    A worker's batches contain its share of the batch; they are split again among several devices of a worker.
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
