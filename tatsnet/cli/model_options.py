"""The arguments of `tatsnet extract` and `tatsnet models`; nothing here loads PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def add_extract(commands: Any) -> None:
    """Add `extract`."""
    parser = commands.add_parser(
        "extract",
        help="make the small network of a training",
        description="Write the physically small network that a search or fine-tuning has found, and prove that it "
        "restores the same.",
        epilog="example: tatsnet extract runs/tuned -o models/mine",
    )
    parser.add_argument("training", type=Path, help="folder of `tatsnet train search` or `finetune`")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the network")
    parser.add_argument(
        "--compact",
        action="store_true",
        help="a fifth of the size: one task-specific part is kept ready, the others are sliced when asked for",
    )


def add_models(commands: Any) -> None:
    """Add `models`."""
    parser = commands.add_parser(
        "models",
        help="the networks that come with this package",
        description="List the networks that come with this package, or show what is known of one.",
        epilog="example: tatsnet models standard",
    )
    parser.add_argument("name", nargs="?", help="show this network's card")
