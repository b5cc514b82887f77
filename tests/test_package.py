"""The built wheel, outside the checkout: complete, and light where it promises to be."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = [
    "v2s_jax",
    "data_pipelines",
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
]
# Training runs on machines that have neither video nor TFDS packages.
LIGHT = ["v2s_jax.training.loop", "v2s_jax.training.command", "v2s_jax.data.loader", "v2s_jax.systems.svts"]
HEAVY = "av dlib tensorflow_datasets torch pesq speechmos pocketsphinx espeakng_loader data_pipelines".split()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy, since setuptools builds in the source tree
    source.mkdir()
    for name in PARTS:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, source]
    subprocess.run(command, check=True, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_wheel_holds_code_assets_and_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "v2s_jax/cli.py",
        "v2s_jax/assets/demo/clip.mp4",
        "v2s_jax/serving/page.html",
        "v2s_jax/assets/talker-svts/model.safetensors",
        "data_pipelines/grid/splits/s1_val.txt",
    ):
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "configs/")) for name in names)
    assert sum(info.file_size for info in zipfile.ZipFile(wheel).infolist() if "/assets/" in info.filename) < 32e6


@pytest.mark.slow
def test_training_imports_neither_video_nor_tfds_packages_from_the_wheel(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        f"import sys, importlib; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        f"for name in {LIGHT}: importlib.import_module(name)\n"
        f"import v2s_jax; assert v2s_jax.__file__.startswith({str(tmp_path)!r}), v2s_jax.__file__\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.slow
def test_shipped_models_run_in_pytorch_without_jax_from_the_wheel(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "for name in ('jax', 'jaxlib', 'flax', 'optax'): sys.modules[name] = None\n"
        "import torch, v2s_jax.interop.torch as interop\n"
        f"assert interop.__file__.startswith({str(tmp_path)!r}), interop.__file__\n"
        f"assets = {str(tmp_path / 'site' / 'v2s_jax' / 'assets')!r}\n"
        "model, vocoder = (interop.load(f'{assets}/{name}') for name in ('talker-svts', 'spectral-small'))\n"
        "with torch.inference_mode():\n"
        "    mel = model(torch.zeros(1, 5, 88, 88, dtype=torch.uint8), torch.tensor([5]))\n"
        "    wave = vocoder(mel.transpose(1, 2))\n"
        "print(*mel.shape, *wave.shape, bool(wave.isfinite().all()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 20 80 1 1 3200 True"
