"""hiu-tf: hand image understanding (HIU-DMTL) in TensorFlow/Keras.

    from hiu_tf import Predictor
    hands = Predictor()("photo.jpg")       also an address, an array (RGB), a PIL image, a folder, a clip
    hands[0].side, hands[0].joints_2d, hands[0].joints_3d, hands[0].vertices
    hands[0].save("hand.png"), hands.save("photo.json"), hands[0].plot()

    hiu_tf.predict("photo.jpg")        the same with the shipped models, which are loaded once
    hiu_tf.load_hand("mano.npz")       a hand model
    hiu_tf.load_recipe, train, load_run, evaluate, export: what `hiu train | evaluate | export` do (hiu-tf[train])

Importing this package does not import TensorFlow: the runtime predicts with NumPy, OpenCV and a
TFLite interpreter alone. The import does select tf_keras, the Keras that tensorflow-addons also
uses. That only works before TensorFlow is first imported.
"""

import importlib
import os
import sys
import warnings

from hiu_tf.errors import missing_extra

__version__ = "0.1.0"

if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") not in ("1", "true", "True"):
    warnings.warn(
        "hiu_tf was imported after tensorflow, so tf.keras is already bound to Keras 2.15 instead of "
        "tf_keras. Import hiu_tf first, or set TF_USE_LEGACY_KERAS=1 in the environment.",
        RuntimeWarning,
        stacklevel=2,
    )
# tensorflow-addons prints a long end-of-life notice at every import. Its last release is pinned and works.
warnings.filterwarnings("ignore", message=r"\s*TensorFlow Addons", category=UserWarning)
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# TensorFlow's default on CPUs with AVX512-VNNI alone; without it a training step of hiu_mobile takes 1.24 times as long.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides "cuDNN factory already registered"

#: Public name -> module that defines it. The module is imported when the name is first used.
_DOOR = {
    "Predictor": "hiu_tf.runtime.predictor",
    "Prediction": "hiu_tf.runtime.prediction",
    "Hands": "hiu_tf.runtime.prediction",
    "Tracker": "hiu_tf.runtime.tracker",
    "predict": "hiu_tf.runtime.predictor",
    "read_picture": "hiu_tf.pictures",
    "load_hand": "hiu_tf.hand.load",
    "load_recipe": "hiu_tf.config.load",
    "train": "hiu_tf.training.run",
    "load_run": "hiu_tf.training.folder",
    "evaluate": "hiu_tf.evaluation.evaluate",
    "export": "hiu_tf.exporting.run",
}
__all__ = ["__version__", *_DOOR]


def __getattr__(name):
    if name not in _DOOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_DOOR[name]), name)
    except ImportError as error:
        words = missing_extra(error)
        if words is None:
            raise
        raise ImportError(f"hiu_tf.{name} {words}", name=error.name) from error


def __dir__():
    return sorted([*globals(), *_DOOR])
