"""The package v2s-jax; tool settings live in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "v2s_jax" / "__init__.py").read_text()).group(1)

REQUIRES = [
    # jax 0.11 left Python 3.11, and flax up to 0.12.8 breaks on it: the two go in pairs.
    "jax>=0.10.2,<0.11; python_version < '3.12'",  # what everything is written in
    "jax>=0.11.1; python_version >= '3.12'",
    "flax==0.12.8; python_version < '3.12'",  # nnx: the modules
    "flax>=0.12.12; python_version >= '3.12'",
    "optax>=0.2.6",  # optimisers and schedules
    "orbax-checkpoint>=0.12.8",  # checkpoints of training
    "grain>=0.2.18",  # reading ahead of the trainer
    "array-record>=0.8",  # the shards' format
    "tensorflow-datasets>=4.9.10",  # builders of the corpora
    "importlib_resources",  # tensorflow-datasets imports it without declaring it
    "protobuf>=5",  # the records inside the shards
    "numpy>=1.26",  # arrays on the host
    "librosa>=0.11",  # Griffin-Lim and audio resampling
    "scikit-learn>=1.4",  # mini-batch k-means of units; librosa needs it anyway
    "soundfile>=0.12",  # wav and FLAC
    "ml-collections>=1.0",  # experiments' configs
    "absl-py>=2.1",  # the flags that override them
    "jaxtyping>=0.3",  # shapes in signatures
    "safetensors>=0.5",  # trained models as files that run nothing
    "ml_dtypes>=0.4",  # bfloat16 in published checkpoints
    "flatbuffers>=24",  # jax.export's files
    "av>=14",  # video and audio containers, with the codecs inside the wheel
    "dlib-bin>=20",  # face detector and landmarks
    "face_recognition_models>=0.3",  # their weights
    "pillow>=10",  # JPEG of the mouth crops, pictures
    "matplotlib>=3.8",  # spectrograms and contact sheets
    "tensorboardX>=2.6",  # training curves
    "tqdm>=4.66",  # progress
    "pystoi>=0.4.1",  # STOI and ESTOI, also during training
    "pocketsphinx>=5.0",  # word error rate with a model inside the wheel
]
EVAL = [
    "pesq>=0.0.4",  # PESQ; source only: needs a C compiler
    "speechmos>=0.0.1",  # DNSMOS with its models inside the wheel
    "onnxruntime>=1.17",  # runs them
]
TALKER = ["espeakng-loader>=0.2.4"]  # espeak-ng (GPL-3) as a shared library: the talkers' voices
SERVE = [
    "starlette>=1.0",  # the web page
    "uvicorn>=0.30",  # serves it
    "python-multipart>=0.0.18",  # uploads
]
TORCH = ["torch>=2.6"]  # runs exported models, writes original files, and is the other side of speed comparisons
BEAM = ["apache-beam>=2.70"]  # preparing a corpus on a cluster
TEST = [
    *BEAM,
    *EVAL,
    *TALKER,
    *SERVE,
    "torch==2.13.0",  # what the models must equal, the same everywhere; its CPU build will do
    "pytest>=8",
    "setuptools>=77",  # builds the wheel that a test looks at
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",  # all cores
    "hypothesis>=6.100",  # properties
    "beartype>=0.20",  # checks the shapes while testing
    "python_speech_features>=0.6",  # reference of the filterbank
    "ruff>=0.9",  # lint
    "mypy>=1.15",  # types
]

setup(
    name="v2s-jax",
    version=VERSION,
    description="Video-to-speech synthesis in JAX",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["v2s_jax", "v2s_jax.*", "data_pipelines", "data_pipelines.*"]),
    package_data={"v2s_jax": ["assets/**", "serving/*.html"], "data_pipelines": ["**/*.md", "**/*.txt"]},
    install_requires=REQUIRES,
    extras_require={
        "test": TEST,
        "eval": EVAL,
        "talker": TALKER,
        "serve": SERVE,
        "torch": TORCH,
        "beam": BEAM,
        "cuda": ["jax[cuda13]"],
        "tpu": ["jax[tpu]"],
    },
    entry_points={
        "console_scripts": ["v2s-jax = v2s_jax.cli:main"],
        "v2s_jax.corpora": [
            "grid = data_pipelines.grid.corpus:corpus",
            "lrs2 = data_pipelines.lrs2.corpus:corpus",
            "lrs3 = data_pipelines.lrs3.corpus:corpus",
            "lrw = data_pipelines.lrw.corpus:corpus",
            "tcd_timit = data_pipelines.tcd_timit.corpus:corpus",
            "folder = data_pipelines.folder.corpus:corpus",
            "talker = data_pipelines.talker.corpus:corpus",
            "voices = data_pipelines.voices.corpus:corpus",
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)
