"""The arguments of `tatsnet restore` and `tatsnet demo`, and what all commands on photos share."""

from __future__ import annotations

import argparse
import math
from typing import Any

from tatsnet.cli.values import path

MODEL_HELP = "a shipped network, a folder, or models:/NAME@ALIAS (default: models/pruned/knee, or standard)"
RUNTIMES = ("auto", "numba", "openvino", "onnxruntime", "torch")


def add_restore(commands: Any) -> None:
    """Add `restore`."""
    parser = commands.add_parser(
        "restore",
        help="restore photos",
        description=(
            "Restore photos. Each level is from 0 (leave alone) to 1 (as much as there is). One photo goes into the "
            "file that -o names; several, a folder or a pattern go into the folder that it names, under their own "
            "names. Where two would have one name, the names of their folders come before it. A photo that cannot be "
            "read is told and left out; the exit status is 2 then."
        ),
        epilog="example: tatsnet restore photo.jpg --deblur 0.5 --denoise 0.3 --dejpeg 0 -o out.png; "
        "tatsnet restore holiday 'more/*.jpg' --denoise 0.4 -o restored --compare",
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="JPEG, PNG, TIFF or WebP; a folder; a pattern")
    for axis, what in (("deblur", "sharpen"), ("denoise", "remove noise"), ("dejpeg", "remove JPEG blocks")):
        parser.add_argument(
            f"--{axis}", type=restoration_level, default=0.0, metavar="LEVEL", help=f"{what}: 0 to 1 (default: 0)"
        )
    parser.add_argument(
        "--even", action="store_true", help="the levels are positions of even sliders, as on the page of `tatsnet demo`"
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("-o", "--output", type=path, metavar="PATH", help="a .jpg, .png, .tif or .webp, or a folder")
    place.add_argument("--in-place", action="store_true", help="replace the photos themselves")
    parser.add_argument("--format", choices=("jpg", "png", "tif", "webp"), help="in a folder (default: as each photo)")
    parser.add_argument(
        "--compare", action="store_true", help="also write NAME-compare, the photo and its restoration side by side"
    )
    add_model(parser)


def add_demo(commands: Any) -> None:
    """Add `demo`."""
    parser = commands.add_parser(
        "demo",
        help="a page with three sliders and the photo",
        description=(
            "Open a page in the browser with a photo and three sliders; the restored photo follows them. The page is "
            "served by this computer for itself alone, and nothing is stored. End it with Ctrl+C."
        ),
        epilog="example: tatsnet demo photo.jpg",
    )
    parser.add_argument("photo", type=path, nargs="?", help="to begin with (default: a sample)")
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="(default: any that is free)")
    parser.add_argument("--no-browser", action="store_true", help="print the link only")
    add_model(parser)


def add_photo(parser: argparse.ArgumentParser) -> None:
    """Add the one photo that a command is about."""
    parser.add_argument("photo", type=path, help="JPEG, PNG, TIFF or WebP")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the network and its runtime."""
    parser.add_argument("--model", type=path, metavar="DIR", help=MODEL_HELP)
    parser.add_argument(
        "--runtime", choices=RUNTIMES, default="auto", help="what runs the network (default: the fastest installed)"
    )


def restoration_level(text: str) -> float:
    """A level on an axis, from its text."""
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not 0 <= level <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return level


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)
