"""A model requires what its library's modules import, directly or not, and nothing that they do not."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

import tatsnet
from pipeline.tracking import registry
from pipeline.tracking.requirements import OPTIONAL, requirements


def package(at: Path, **modules: str) -> Path:
    folder = at / "lib"
    folder.mkdir()
    for name, text in {"__init__": "", **modules}.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_imports_are_followed_through_the_library_and_no_further(tmp_path: Path) -> None:
    lib = package(
        tmp_path,
        a="import os\nfrom lib import b",
        b="def lazily():\n    import numpy.linalg\n    from lib.a import x",
        unused="import torch",
    )
    main = tmp_path / "main.py"
    main.write_text("from lib.a import anything\nfrom PIL import Image\nimport onnxruntime")
    assert requirements(lib, main) == [f"{name}=={version(name)}" for name in ("numpy", "pillow")]


def test_what_nothing_installed_holds_is_said(tmp_path: Path) -> None:
    lib = package(tmp_path, a="import nothing_like_this")
    main = tmp_path / "main.py"
    main.write_text("import lib.a")
    with pytest.raises(LookupError, match="nothing_like_this"):
        requirements(lib, main)


def test_the_real_library_needs_what_it_restores_with_and_no_server_of_the_pipeline() -> None:
    serving = Path(registry.__file__).with_name("serving.py")
    names = {line.partition("==")[0] for line in requirements(Path(str(tatsnet.__file__)).parent, serving)}
    assert {"mlflow", "numba", "numpy", "pillow", "safetensors", "torch"} <= names
    assert not names & ({"ray", "optuna", "dvc", "boto3", "matplotlib", "scikit-image"} | OPTIONAL)
