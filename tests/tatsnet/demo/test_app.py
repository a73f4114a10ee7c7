"""The server behind the page: the same pixels as `tatsnet restore`, nobody else's requests, limits, messages."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tatsnet.cli import main
from tatsnet.demo.app import SAMPLE, Demo
from tatsnet.demo.sessions import Session, Sessions, Stale
from tatsnet.demo.uploads import Limits
from tatsnet.photos.files import read_photo
from tatsnet.pruned.extraction import extract
from tatsnet.restorer import Restorer
from tests.tatsnet.demo.serving import Client, served
from tests.tatsnet.networks import frozen_network

LEVELS = {"deblur": 0.2, "denoise": 0.7, "dejpeg": 0.4}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extract(frozen_network(4), tmp_path_factory.mktemp("models") / "net").folder


@pytest.fixture(scope="module")
def client(model: Path) -> Iterator[Client]:
    limits = Limits(size_bytes=200_000, pixels=150_000)
    first = (SAMPLE.name, SAMPLE.read_bytes())
    with served(Demo(Restorer.load(model), "net", first, lambda h, w: h * w / 1e6, limits).app()) as client:
        yield client


@pytest.fixture
def session(client: Client) -> str:
    status, _, body = client("POST", "/api/sessions")
    assert status == 200
    return f"/api/sessions/{json.loads(body)['session']}"


def photo_file(kind: str, height: int = 20, width: int = 30, **options: Any) -> bytes:
    pixels = np.random.default_rng(height).integers(0, 255, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def picture(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int16)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_download_is_the_file_that_restore_writes(
    client: Client, session: str, model: Path, tmp_path: Path, suffix: str
) -> None:
    exif = Image.Exif()
    exif[271] = "a camera"
    (tmp_path / "p.jpg").write_bytes(photo_file("JPEG", exif=exif))
    assert client("PUT", f"{session}/photo", (tmp_path / "p.jpg").read_bytes(), name="p.jpg")[0] == 200
    status, _, data = client("GET", f"{session}/download", format=suffix, **LEVELS)
    assert status == 200
    out = tmp_path / f"out.{suffix}"
    levels = [part for axis, level in LEVELS.items() for part in (f"--{axis}", str(level))]
    assert main(["restore", str(tmp_path / "p.jpg"), "-o", str(out), "--model", str(model), *levels]) == 0
    assert data == out.read_bytes()
    assert b"a camera" in (read_photo(out).metadata.exif or b"")


def test_the_full_size_is_what_restore_gives_and_a_preview_is_near(client: Client, session: str, model: Path) -> None:
    photo = read_photo(SAMPLE).rgb_HWC
    expected = np.rint(Restorer.load(model).restore(photo, tuple(LEVELS.values())) * 255)
    status, headers, full = client("GET", f"{session}/full", **LEVELS)
    assert (status, headers["content-type"]) == (200, "image/png")
    assert np.array_equal(picture(full), expected)
    status, headers, preview = client("GET", f"{session}/preview", size=640, **LEVELS)
    assert (status, headers["x-size"], headers["x-box"]) == (200, "451", "0.000000,0.000000,1.000000,1.000000")
    assert float(headers["x-milliseconds"]) > 0
    assert np.abs(picture(preview) - expected).mean() < 4
    small = picture(client("GET", f"{session}/preview", size=128, **LEVELS)[2])
    assert max(small.shape) == 128


def test_a_view_is_the_full_size_where_the_page_shows_it(client: Client, session: str) -> None:
    full = picture(client("GET", f"{session}/full", **LEVELS)[2])
    status, headers, view = client("GET", f"{session}/preview", size=451, box="90,200,150,300", **LEVELS)
    assert status == 200
    assert [float(share) for share in headers["x-box"].split(",")] == pytest.approx(
        [90 / 300, 200 / 451, 150 / 300, 300 / 451], abs=1e-5
    )
    assert picture(view).shape == (60, 100, 3)
    assert np.abs(picture(view) - full[90:150, 200:300]).mean() < 4  # the view is a JPEG


def test_while_the_hand_moves_a_view_is_as_large_as_is_in_time(model: Path) -> None:
    demo = Demo(Restorer.load(model), "net", (SAMPLE.name, SAMPLE.read_bytes()), lambda h, w: 0.0)
    with served(demo.app()) as client:
        session = f"/api/sessions/{json.loads(client('POST', '/api/sessions')[2])['session']}"
        for seconds, size in ((1e-9, "451"), (1e-3, "128")):
            for _ in range(9):
                demo.pace.learn(1, seconds)
            assert client("GET", f"{session}/preview", size=640, moving=1, **LEVELS)[1]["x-size"] == size
        assert client("GET", f"{session}/preview", size=640, **LEVELS)[1]["x-size"] == "451"


def test_tabs_do_not_mix(client: Client, session: str) -> None:
    other = f"/api/sessions/{json.loads(client('POST', '/api/sessions')[2])['session']}"
    assert other != session
    assert client("PUT", f"{other}/photo", photo_file("PNG"), name="q.png")[0] == 200
    assert picture(client("GET", f"{other}/before", size="full")[2]).shape == (20, 30, 3)
    assert picture(client("GET", f"{session}/before", size="full")[2]).shape == (300, 451, 3)
    assert client("POST", f"{other}/end")[0] == 204
    status, _, body = client("GET", f"{other}/before")
    assert status == 404
    assert "load the page again" in json.loads(body)["message"]


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (b"", 422, "empty"),
        (b"no photo at all", 422, "not a JPEG"),
        (photo_file("PNG")[:80], 422, "damaged"),
        (photo_file("PNG", 400, 400), 413, "use tatsnet restore"),
        (bytes(200_001), 413, "MiB"),
    ],
)
def test_a_bad_upload_is_told_and_the_photo_stays(
    client: Client, session: str, data: bytes, status: int, message: str
) -> None:
    got, _, body = client("PUT", f"{session}/photo", data, name="p.png")
    assert got == status
    assert message in json.loads(body)["message"]
    assert picture(client("GET", f"{session}/before", size="full")[2]).shape == (300, 451, 3)


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({}, True),
        ({"Host": "evil.example"}, False),
        ({"Host": "127.0.0.1:1"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": None}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
    ],
)
def test_only_the_page_itself_may_change_anything(client: Client, change: dict[str, str | None], allowed: bool) -> None:
    headers = {name: value for name, value in {**client.own, **change}.items() if value is not None}
    status, _, _ = client("POST", "/api/sessions", headers=headers)
    assert status == (200 if allowed else 403)


def test_the_page_runs_its_own_code_alone(client: Client) -> None:
    status, headers, page = client("GET", "/", headers={"Host": client.own["Host"]})
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert b"http" not in page
    for name in ("demo.js", "demo.css"):
        assert client("GET", f"/page/{name}")[0] == 200
    assert client("GET", "/page/../app.py")[0] == 404


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("preview", {"denoise": 2}),
        ("preview", {"size": -3}),
        ("preview", {"box": "1,2,3"}),
        ("preview", {"box": "0,0,301,451"}),
        ("full", {"deblur": "nan"}),
        ("download", {"format": "gif"}),
    ],
)
def test_a_wrong_request_is_told(client: Client, session: str, path: str, query: dict[str, Any]) -> None:
    status, _, body = client("GET", f"{session}/{path}", **query)
    assert status == 400
    assert json.loads(body)["message"]


def test_auto_and_the_dense_networks_time(client: Client, session: str) -> None:
    found = json.loads(client("GET", f"{session}/auto")[2])
    assert set(found["levels"]) == set(LEVELS)
    assert all(0 <= level <= 1 for level in found["levels"].values())
    assert found["noise"] > 5
    dense = json.loads(client("GET", f"{session}/dense")[2])
    assert dense["milliseconds"] == pytest.approx(300 * 451 / 1e3)


def test_a_request_is_stale_once_a_newer_one_of_its_kind_has_come(client: Client, session: str) -> None:
    one = Session()
    one.enter("preview", 1)
    one.enter("preview", 3)
    one.enter("full", 2)
    one.check("full", 2)
    one.check("preview", 3)
    one.move((0.0, 0.0, 0.0), 4)
    one.move((0.0, 0.0, 0.0), 5)
    one.check("full", 4)
    one.move((0.0, 0.1, 0.0), 6)
    with pytest.raises(Stale):
        one.check("full", 5)
    with pytest.raises(Stale):
        one.check("preview", 1)
    assert client("GET", f"{session}/preview", serial=9)[0] == 200
    assert client("GET", f"{session}/preview", serial=8)[0] == 409
    assert client("GET", f"{session}/full", serial=8)[0] == 409
    assert client("GET", f"{session}/full", serial=10)[0] == 200
    assert client("GET", f"{session}/preview", serial=11)[0] == 200  # another view, the sliders as they were
    assert client("GET", f"{session}/full", serial=10)[0] == 200
    assert client("GET", f"{session}/preview", serial=12, denoise=0.5)[0] == 200
    assert client("GET", f"{session}/full", serial=11)[0] == 409


def test_the_longest_unused_tabs_go_first() -> None:
    sessions = Sessions(most=2)
    first, second = sessions.start(), sessions.start()
    assert sessions.find(first) is not None
    third = sessions.start()
    assert sessions.find(second) is None
    assert sessions.find(first) is not None
    assert sessions.find(third) is not None
