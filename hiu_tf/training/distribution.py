"""Which devices to train on."""

import tensorflow as tf


def strategy() -> tf.distribute.Strategy:
    """MirroredStrategy over all GPUs, or over all logical CPUs where there are several; else one device."""
    for kind in ("GPU", "CPU"):
        devices = tf.config.list_logical_devices(kind)
        if len(devices) > 1:
            return tf.distribute.MirroredStrategy([device.name for device in devices])
        if devices:
            return tf.distribute.OneDeviceStrategy(devices[0].name)
    raise RuntimeError("TensorFlow sees no device")
