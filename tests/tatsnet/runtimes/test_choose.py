"""The fastest runtime that can be taken is taken, and one that cannot says why."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tatsnet.cli.main import GPU_RUNTIMES
from tatsnet.cli.photo_options import RUNTIMES
from tatsnet.pruned.extraction import extract
from tatsnet.restorer import Restorer
from tatsnet.runtimes import choose
from tatsnet.runtimes.api import Runtime
from tatsnet.runtimes.choose import AUTO, NAMES, available, pick
from tatsnet.runtimes.torch.runtime import TorchRuntime
from tests.tatsnet.networks import frozen_network


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Packages that look as if they were not installed; to be filled."""
    absent: set[str] = set()
    monkeypatch.setattr(choose, "find_spec", lambda name: None if name in absent else ModuleSpec(name, None))
    return absent


@pytest.mark.parametrize(
    ("without", "first"),
    [
        (set(), "numba"),
        ({"numba"}, "openvino"),
        ({"numba", "openvino"}, "onnxruntime"),
        ({"numba", "openvino", "onnxruntime"}, "torch"),
        ({"numba", "onnx"}, "torch"),
    ],
)
def test_the_fastest_installed_is_taken(missing: set[str], without: set[str], first: str) -> None:
    missing |= without
    assert available()[0] == pick().name == first
    assert available()[-1] == "torch"


@pytest.mark.parametrize("name", ["numba", "openvino", "onnxruntime", "torch"])
def test_a_name_is_taken_at_its_word(name: str) -> None:
    assert pick(name).name == name


@pytest.mark.parametrize(
    ("device", "dtype", "precision", "expected"),
    [
        ("cpu", torch.float32, None, ("numba", "openvino", "onnxruntime", "torch")),
        ("cpu", torch.float32, torch.float32, ("numba", "openvino", "onnxruntime", "torch")),
        ("cpu", torch.float32, torch.bfloat16, ("openvino", "torch")),
        ("cpu", torch.float32, torch.float16, ("torch",)),
        ("cpu", torch.float64, None, ("torch",)),
        ("cuda", torch.float32, None, ("torch", "cudagraph", "triton")),
        ("cuda", torch.float32, torch.bfloat16, ("torch", "cudagraph", "triton")),
        ("cuda", torch.float64, None, ("torch", "cudagraph")),
    ],
)
def test_only_what_serves_the_network_is_taken(
    device: str, dtype: torch.dtype, precision: torch.dtype | None, expected: tuple[str, ...]
) -> None:
    assert available(device, dtype, precision) == expected


def test_what_is_missing_says_how_to_get_it(missing: set[str]) -> None:
    missing |= {"openvino", "onnx"}
    with pytest.raises(ValueError, match="openvino is not installed: pip install openvino onnx"):
        pick("openvino")
    with pytest.raises(ValueError, match=r"onnxruntime is not installed: pip install onnx$"):
        pick("onnxruntime")
    missing.add("triton")
    with pytest.raises(ValueError, match="triton is not installed: pip install triton"):
        pick("triton", "cuda")


@pytest.mark.parametrize(
    ("name", "device", "message"),
    [
        ("tensorrt", "cpu", "give one of auto, numba, openvino"),
        ("openvino", "cuda", "CPU only, not cuda: take torch"),
        ("cudagraph", "cpu", "NVIDIA GPUs only, not cpu: take torch"),
        ("triton", "cpu", "NVIDIA GPUs only, not cpu: take torch"),
    ],
)
def test_what_cannot_be_taken_says_why(name: str, device: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pick(name, device)


@pytest.mark.parametrize("threads", [0, -1])
def test_at_least_one_thread(threads: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        pick(threads=threads)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libtbb.so: cannot open shared object file"),
        OSError("cannot load library"),
        RuntimeError("cannot cache function 'sweep': no locator available"),
        AttributeError("module 'numpy' has no attribute 'long'"),
        SystemError("initialization failed"),
    ],
)
def test_what_is_installed_and_does_not_work_is_passed_over_and_said_once(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make = choose._make

    def broken(name: str, *rest: Any) -> Runtime:
        if name == "numba":
            raise error
        return make(name, *rest)

    monkeypatch.setattr(choose, "_make", broken)
    monkeypatch.setattr(choose, "_said", set())
    assert [pick().name for _ in range(3)] == ["openvino"] * 3
    assert [str(error) in record.message for record in caplog.records] == [True]
    with pytest.raises(ValueError, match=r"the runtime numba does not work here \(.*\): "):
        pick("numba")


class WrongNumbers(TorchRuntime):
    """Loads and computes, but not what it should."""

    def add_scaled(self, image_BCHW: Tensor, scale_C: Tensor, hidden_BCHW: Tensor) -> Tensor:
        return super().add_scaled(image_BCHW, scale_C, hidden_BCHW) + 1


def test_what_computes_wrong_numbers_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "_make", lambda *_: WrongNumbers("cpu", None))
    monkeypatch.setattr(choose, "_tried", set())
    with pytest.raises(ValueError, match="computes wrong numbers"):
        pick("numba")


@pytest.mark.parametrize("package", ["numba", "onnx"])
def test_a_package_that_does_not_import_is_passed_over(package: str, tmp_path: Path) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise OSError('its library is missing')\n")
    code = "import tatsnet.runtimes.choose as c; print(c.pick().name)"
    search = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == {"numba": "openvino", "onnx": "numba"}[package]
    assert done.stderr.count("its library is missing") == (package == "numba")


def test_a_restorer_says_what_runs_it(tmp_path: Path) -> None:
    model, task = frozen_network(4), [(0.0, 0.5, 0.0)]
    single = extract(model, tmp_path / "single", task).folder
    double = extract(model.double(), tmp_path / "double", task).folder
    assert Restorer.load(single).runtime == "numba"
    assert Restorer.load(single, runtime="onnxruntime").runtime == "onnxruntime"
    assert Restorer.load(double).runtime == "torch"
    with pytest.raises(ValueError, match=r"float32 networks only.*take torch"):
        Restorer.load(double, runtime="openvino")


def test_the_command_line_offers_them_all() -> None:
    assert (*RUNTIMES, *GPU_RUNTIMES) == (AUTO, *NAMES)
    assert RUNTIMES == (AUTO, *available()), "those that serve a CPU"


def test_nothing_heavy_is_loaded_before_it_is_wanted() -> None:
    code = (
        "import sys, tatsnet.restorer, tatsnet.runtimes.choose as c; c.pick('torch'); "
        "assert not {'numba', 'onnx', 'onnxruntime', 'openvino', 'triton'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
