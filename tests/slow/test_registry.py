"""A registered network loads, predicts and serves in an environment made from its own requirements, and no other."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.models import Model
from mlflow.tracking import MlflowClient
from numpy.typing import NDArray
from PIL import Image

from pipeline.commands.promote import promote
from pipeline.common.errors import UserError
from pipeline.report.card import Origin
from pipeline.report.pictures import Pictures
from pipeline.report.registration import Registered, register_network
from pipeline.tracking import open_tracker
from pipeline.tracking.fetching import network_folder
from tatsnet.network.tasks import AXES
from tatsnet.pruned.extraction import extract
from tatsnet.pruned.folder import set_sliders
from tatsnet.restorer import Restorer
from tests.pipeline.report.factory import network, pictures
from tests.profiles.tiny import tiny_profile
from tests.slow.environments import environment_of
from tests.tatsnet.network.test_sliders import BENT
from tests.tatsnet.networks import frozen_network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ORIGIN = Origin(
    study="1a2b3c4d5e6f7a8b",
    trial=3,
    point={"variant": "TA+TSNet", "lambda1": 1e-3, "lambda2": 0.1, "gamma": 0.9},
    iterations=(1500, 800),
    source="sample",
    dataset_sha256="ab" * 32,
    difference=2e-7,
    dense_psnr_db=26.0,
)


@dataclass(frozen=True)
class Project:
    """A folder with a registered network, and what it was registered as."""

    root: Path
    made: Registered

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.root / 'mlflow.db'}")

    def at(self, alias: str) -> str:
        """The version that an alias points at."""
        return str(self.client.get_model_version_by_alias("tiny", alias).version)

    def register(self, aliases: list[str], **changes: Any) -> Registered:
        return register(self.root, aliases, **changes)


def register(root: Path, aliases: list[str], **changes: Any) -> Registered:
    tracker = open_tracker("tiny", root)
    run = tracker.start("benchmark", stage="benchmark")
    origin = {name: changes.pop(name) for name in list(changes) if hasattr(ORIGIN, name)}
    figures = replace(network("knee"), **changes)
    shown: Pictures = pictures()
    made = register_network(tracker, run, "tiny", root / "net", figures, replace(ORIGIN, **origin), aliases, shown)
    run.finish()
    return made


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("project")
    tiny_profile(root / "params.yaml", {"search.control": {"gain": 0.3, "off_rms": 5.0}})
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        extract(frozen_network(4), root / "net")
        set_sliders(root / "net", BENT)
        yield Project(root, register(root, ["knee", "best"]))


@pytest.fixture(scope="module")
def model(project: Project) -> Path:
    """Where the model's files lie."""
    return Path(project.client.get_model_version("tiny", "1").source.removeprefix("file://"))


@pytest.fixture(scope="module")
def python(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with the model's requirements alone."""
    return environment_of(model / "requirements.txt", tmp_path_factory.mktemp("fresh") / "venv")


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (29, 22, 3), dtype=np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def expected(root: Path, photo: NDArray[np.uint8], task: tuple[float, float, float]) -> NDArray[np.uint8]:
    restorer = Restorer.load(root / "net", runtime="torch")
    out = restorer.effect(restorer.encode(photo.astype(np.float32) / np.float32(255)), task)
    return (np.clip(np.asarray(out), 0, 1) * 255).round().astype(np.uint8)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true"} | more


PREDICT = """
import base64, json, sys
from importlib.util import find_spec
import mlflow, numpy as np, pandas as pd

mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/tiny@knee")
photo = np.load("photo.npy")
file = open("photo.png", "rb").read()
params = {"deblur": 0.25, "denoise": 0.5}
got = {
    "array": model.predict(photo, params=params),
    "batch": np.asarray(model.predict(np.stack([photo, photo]), params=params))[1],
    "mapping": model.predict({"image": photo, "task": (0.25, 0.5, 0)}),
    "table": model.predict(pd.DataFrame({"image": [photo.tolist()], "deblur": [0.25], "denoise": [0.5]}))[0],
    "other": model.predict(photo, params={"deblur": 1.0}),
    "even": model.predict(photo, params=params | {"even": True}),
}
np.savez("got.npz", **got)
open("bytes.png", "wb").write(model.predict(file, params=params))
open("text.png", "wb").write(base64.b64decode(model.predict(base64.b64encode(file).decode(), params=params)))
refused = {}
for name, asked in {
    "fractions": photo / 255, "flat": photo[0], "range": photo.astype(int) + 100, "image": {"task": (0, 0, 0)},
    "two": {"image": photo, "task": (0, 0)}, "high": {"image": photo, "task": (0, 0, 1.5)},
    "nan": {"image": photo, "deblur": float("nan")}, "text": "not base64!", "file": b"no photo",
}.items():
    try:
        model.predict(asked)
    except ValueError as error:
        refused[name] = str(error)
print(json.dumps({"refused": refused, "library": sys.modules["tatsnet.restorer"].__file__,
                  "project": [name for name in sys.modules if name.startswith(("pipeline", "ray", "optuna"))],
                  "optional": [name for name in ("ray", "optuna", "dvc", "openvino") if find_spec(name)]}))
"""


def test_it_predicts_from_arrays_tables_and_files_in_its_own_environment(
    project: Project, python: Path, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    np.save(tmp_path / "photo.npy", photo)
    (tmp_path / "photo.png").write_bytes(png(photo))
    done = subprocess.run(
        [python, "-c", PREDICT, f"sqlite:///{project.root / 'mlflow.db'}"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["project"], told["optional"]) == ([], []), "nothing but the requirements is there"
    assert str(project.root / "mlartifacts") in told["library"]
    assert set(told["refused"]) == {"fractions", "flat", "range", "image", "two", "high", "nan", "text", "file"}
    wanted = expected(project.root, photo, (0.25, 0.5, 0.0))
    got = np.load(tmp_path / "got.npz")
    images = {name: got[name] for name in ("array", "batch", "mapping", "table")}
    images |= {name: np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("bytes", "text")}
    for name, image in images.items():
        assert image.dtype == np.uint8, name
        assert np.abs(image.astype(int) - wanted).max() <= 1, name
    assert not np.array_equal(got["other"], wanted), "the sliders move the picture"
    even = expected(project.root, photo, BENT.task((0.25, 0.5, 0.0)))
    assert np.abs(got["even"].astype(int) - even).max() <= 1
    assert not np.array_equal(even, wanted)


@pytest.fixture(scope="module")
def server(model: Path, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow models serve` of that environment; where it takes requests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [python, "-m", "mlflow", "models", "serve", "--model-uri", model, "--env-manager", "local"]
    log = tmp_path_factory.mktemp("serving") / "log.txt"
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    with (
        log.open("w") as out,
        subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env=environment(PATH=path),
            stdout=out,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            until = time.monotonic() + 120
            while True:
                assert time.monotonic() < until, log.read_text()
                assert process.poll() is None, log.read_text()
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2).close()
                    break
                except OSError:
                    time.sleep(0.3)
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            process.terminate()
            process.wait(30)


def post(server: str, body: Any) -> Any:
    request = urllib.request.Request(server, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"]


def test_over_the_network_png_goes_in_and_png_comes_out(
    project: Project, model: Path, server: str, photo: NDArray[np.uint8]
) -> None:
    text = base64.b64encode(png(photo)).decode()
    table = {"columns": ["image", "deblur", "denoise"], "data": [[text, 0.25, 0.5], [text, 0.25, 0.5]]}
    wanted = expected(project.root, photo, (0.25, 0.5, 0.0))
    answers = post(server, {"dataframe_split": table})
    answers += post(server, {"inputs": [text], "params": {"deblur": 0.25, "denoise": 0.5}})
    assert len(answers) == 3
    for answer in answers:
        image = Image.open(io.BytesIO(base64.b64decode(answer)))
        assert image.format == "PNG"
        assert np.abs(np.asarray(image).astype(int) - wanted).max() <= 1
    example = json.loads((model / "serving_input_example.json").read_text())
    assert Image.open(io.BytesIO(base64.b64decode(post(server, example)[0]))).size == (16, 16)
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(server, {"dataframe_split": {"columns": ["image"], "data": [["no photo"]]}})
    assert refused.value.code == 400


def test_a_version_says_what_it_is(project: Project, model: Path) -> None:
    version = project.client.get_model_version("tiny", "1")
    assert sorted(version.aliases) == ["best", "knee"]
    assert {"psnr_db", "flops_ratio_m27", "weakest_slider", "control_deblur", "difference"} <= set(version.tags)
    for said in ("trial 3", "1a2b3c4d", "scikit-image", "Limits", "models:/tiny/1", "get-artifact?path=sheets/net.jpg"):
        assert said in version.description
    run = project.client.get_run(version.run_id)
    assert (Path(run.info.artifact_uri.removeprefix("file://")) / "sheets" / "net.jpg").is_file()
    signature = Model.load(str(model)).signature
    assert [spec.name for spec in signature.params] == [*AXES, "even"]
    assert not [path for path in model.rglob("*") if path.suffix in (".pkl", ".pickle")]


def test_a_worse_network_does_not_take_an_alias_and_a_trade_off_does(project: Project) -> None:
    first = project.at("knee")
    base = network("knee")
    worse = project.register(["knee"], psnr_db=base.psnr_db - 0.5)
    assert project.at("knee") == first
    assert list(worse.kept) == ["knee"]
    assert f"promote tiny/{worse.version} knee --force" in "\n".join(worse.said("tiny"))
    cheaper = project.register(["knee"], psnr_db=base.psnr_db - 0.5, flops_ratio_m27=base.flops_ratio_m27 / 2)
    assert project.at("knee") == cheaper.version
    assert f"it was version {first}" in "\n".join(cheaper.said("tiny"))


def test_promotion_sets_the_alias_after_its_checks_and_says_why_it_refuses(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project.root
    good = project.register(["good"]).version
    assert f"tiny@champion is now version {good}" in promote(root, "tiny@good", "champion")
    for changes, reason in (
        ({"psnr_db": network("knee").psnr_db - 0.2}, r"PSNR: .*tolerance"),
        ({"difference": 1e-3}, r"equality: differs"),
        ({"control": dict.fromkeys(AXES, 0.01)}, r"control: its weakest slider gains 1\.0%"),
        ({"off_rms": 40.0}, r"control: all sliders at 0 change a photo by 40\.00"),
        ({"speedup_27": 0.8}, r"speed: is 0\.80 times"),
        ({"dataset_sha256": "cd" * 32}, r"PSNR: was measured on other photos"),
    ):
        bad = project.register([], **changes).version
        with pytest.raises(UserError, match=reason):
            promote(root, f"tiny/{bad}", "champion")
        assert project.at("champion") == good
    assert "WARNING PSNR" in promote(root, f"tiny/{bad}", "champion", force=True)
    assert project.at("champion") == bad
    with pytest.raises(UserError, match=r"there is no tiny@nobody"):
        promote(root, "tiny@nobody", "champion")
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", str(root / "home"))
    folder = network_folder("models:/tiny@champion")
    assert (folder / "architecture.json").read_bytes() == (root / "net" / "architecture.json").read_bytes()
    assert network_folder(f"models:/tiny/{bad}") == folder
    with pytest.raises(ValueError, match=r"there is no models:/tiny@nobody"):
        network_folder("models:/tiny@nobody")
