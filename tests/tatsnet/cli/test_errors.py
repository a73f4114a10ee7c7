"""What a user can mend is one line, whatever a library raises and wherever it does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tatsnet.cli import main
from tatsnet.cli.errors import shown, told
from tatsnet.photos.files import Photo, read_photo, write_photo
from tatsnet.pruned.extraction import extract
from tests.tatsnet.networks import frozen_network

HOST = [sys.executable, "-m", "tatsnet.cli"]
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(extract(frozen_network(4), tmp_path_factory.mktemp("models") / "net", [(0.0, 0.0, 0.0)]).folder)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.effect_noise((14, 11), 60).convert("RGB").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


MENDABLE: list[Exception] = [
    OSError("a message of its own"),
    OSError(28, "No space left on device"),
    OSError(5, "Input/output error", "some file"),
    PermissionError(13, "Permission denied", "some file"),
    FileNotFoundError(2, "No such file or directory", "some file"),
    NotADirectoryError(20, "Not a directory", "some file"),
    TimeoutError("timed out"),
    ConnectionResetError(104, "Connection reset by peer"),
    BlockingIOError(11, "Resource temporarily unavailable"),
    ImportError("libgomp.so.1: cannot open shared object file"),
    ModuleNotFoundError("No module named 'tifffile'"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"),
    ValueError("a value that\nno one expected"),
    ValueError(),
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
]
BUGS: list[Exception] = [TypeError("a bug"), AssertionError("a bug"), RuntimeError("a bug"), KeyError("a bug")]

PLACES = {
    "restore": ["restore.open_photo", "restore.load_model", "restore.write_photo", "restore.check_targets"],
    "effects": ["effects.open_photo", "effects.load_model", "effects.write_photo", "effects.ContactSheet"],
    "export": ["export.read_folder", "export.export"],
    "flops": ["flops.load_model", "flops.effect_cost"],
    "bench": ["bench.read_folder", "bench.bench"],
    "train": ["train.run"],
}


def arguments(command: str, photo: Path, model: str, folder: Path) -> list[str]:
    return {
        "restore": ["restore", str(photo), "-o", str(folder / "out.png"), "--model", model, "--runtime", "torch"],
        "effects": ["effects", str(photo), "-o", str(folder / "e"), "--levels", "1", "--model", model],
        "export": ["export", model, "-o", str(folder / "onnx")],
        "flops": ["flops", "--model", model],
        "train": ["train", "dense", str(folder), "-o", str(folder / "t"), "--iterations", "1"],
        "bench": ["bench", "--quick", "--model", model, "--threads", "1"],
    }[command]


@pytest.mark.parametrize(("command", "place"), [(name, place) for name, all_ in PLACES.items() for place in all_])
def test_every_error_of_every_command_is_one_line(
    command: str,
    place: str,
    photo: Path,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = arguments(command, photo, model, tmp_path)
    thrown: list[Exception] = []

    def fail(*_: object, **__: object) -> NoReturn:
        raise thrown[-1]

    __import__(f"tatsnet.cli.{command}")
    monkeypatch.setattr(f"tatsnet.cli.{place}", fail)
    for error in MENDABLE:
        thrown.append(error)
        assert main(given) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("tatsnet: ")
        assert printed.err.count("\n") == 1
        assert len(printed.err) > len("tatsnet: \n")
        assert "Traceback" not in printed.err
    for error in BUGS:
        thrown.append(error)
        with pytest.raises(type(error)):
            main(given)
    thrown.append(BrokenPipeError(32, "Broken pipe"))
    assert main(given) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "place", "message"),
    [
        (MemoryError(), Path("a.jpg"), "a.jpg: not enough memory"),
        (OSError(28, "No space left on device"), Path("a.jpg"), "a.jpg: No space left on device; free some space"),
        (OSError(27, "File too large"), Path("net"), "net: File too large; free some space or write elsewhere"),
        (OSError(122, "Disk quota exceeded", "net"), None, "net: Disk quota exceeded; free some space"),
        (ImportError("no such library"), None, "a package cannot be loaded (no such library)"),
        (RecursionError(), Path("a.json"), "a.json: nested too deeply"),
        (TypeError("a bug"), Path("a.jpg"), None),
    ],
)
def test_what_an_error_says(error: Exception, place: Path | None, message: str | None) -> None:
    found = told(error, place)
    assert found == message if message is None else found is not None and found.startswith(message)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a b.png", "a b.png"), ("ä.png", "ä.png"), ("a\nb", "a?b"), ("\udcff", "?"), ("\x1b[2J", "?[2J")],
)
def test_names_are_printed_without_what_cannot_be(name: str, expected: str) -> None:
    assert shown(name) == expected


NAMES = ["a\nb.png", "-x.png", "ünï ⌘.png", os.fsdecode(b"\xff\xfe.png"), "%s{0}.png", "'\".png", "x" * 250 + ".png"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_that_a_file_may_have_is_restored(
    name: str, photo: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    source = photo.rename(tmp_path / "in" / name)
    out = tmp_path / name
    assert main(["restore", str(source), "-o", str(out), "--model", model, "--runtime", "torch"]) == 0
    assert out.is_file()
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("name", NAMES[:4])
def test_effects_of_a_photo_with_any_name(name: str, photo: Path, model: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    source = photo.rename(tmp_path / "in" / name)
    assert main(["effects", str(source), "-o", str(tmp_path / "e"), "--levels", "1", "--model", model]) == 0
    assert (tmp_path / "e" / "contact.jpg").is_file()


def test_levels_that_differ_make_files_that_differ(photo: Path, model: str, tmp_path: Path) -> None:
    levels = "0.12345671,0.12345672"
    assert main(["effects", str(photo), "-o", str(tmp_path / "e"), "--levels", levels, "--model", model]) == 0
    assert len(list((tmp_path / "e").iterdir())) == 8 + 1


def test_a_contact_sheet_of_ones_own_is_not_replaced(
    photo: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["effects", str(photo), "-o", str(tmp_path / "e"), "--levels", "1", "--model", model]
    assert main(given) == 0
    assert main(given) == 0
    Image.new("RGB", (8, 8)).save(tmp_path / "e" / "contact.jpg")
    before = (tmp_path / "e" / "contact.jpg").read_bytes()
    assert main(given) == 2
    assert "contact.jpg is there and was not made by" in capsys.readouterr().err
    assert (tmp_path / "e" / "contact.jpg").read_bytes() == before


def deep(path: Path) -> None:
    rgb = np.full((4, 4, 3), 0.5, np.float32)
    write_photo(path, Photo(rgb_HWC=rgb, depth=16), rgb)


def with_texts(path: Path) -> None:
    info = PngInfo()
    info.add_text("Author", "me")
    Image.new("RGB", (4, 4)).save(path, pnginfo=info)


def without_end(path: Path) -> None:
    Image.new("RGB", (4, 4)).save(path)
    path.write_bytes(path.read_bytes()[:-12])


@pytest.mark.parametrize(
    ("make", "suffix", "note"),
    [
        (deep, ".jpg", "out.jpg: .jpg cannot hold its 16 bits, 8 are written"),
        (with_texts, ".jpg", "out.jpg: .jpg cannot hold its PNG texts"),
        (without_end, ".jpg", "in.png: read, but its end is missing"),
        (deep, ".png", ""),
        (with_texts, ".png", ""),
    ],
)
def test_what_is_lost_is_said_once(
    make: Callable[[Path], Any],
    suffix: str,
    note: str,
    model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(tmp_path / "in.png")
    out = tmp_path / f"out{suffix}"
    assert main(["restore", str(tmp_path / "in.png"), "-o", str(out), "--model", model]) == 0
    printed = capsys.readouterr().err
    assert printed.count("tatsnet: note: ") == printed.count("\n") == bool(note)
    assert note in printed
    read_photo(out)


@pytest.mark.parametrize("command", [["flops"], ["--help"], ["flops", "--help"]])
def test_a_closed_pipe_is_no_traceback(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*HOST, *command], env=BUFFERED, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("command", [["flops"], ["--help"]])
def test_a_full_output_is_one_line(command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*HOST, *command], env=BUFFERED, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.stderr.startswith("tatsnet: the output: No space left on device; free some space")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2


def test_it_starts_where_a_process_cannot_be_bound_to_processors() -> None:
    code = (
        "import os; del os.sched_getaffinity; from tatsnet.cli import main; raise SystemExit(main(['bench', '--help']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "command",
    [
        ["effects", "photo.png", "-o", ""],
        ["restore", "photo.png", "--denoise", "0.4", "-o", ""],
        ["export", "models/mine", "-o", ""],
        ["extract", "", "-o", "out"],
        ["train", "dense", "", "-o", "out", "--iterations", "1"],
        ["bench", "--json", ""],
    ],
)
def test_an_empty_path_is_refused_before_anything_is_written(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    assert "an empty path names no file and no folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
