"""The arguments of `tatsnet extract` and `tatsnet models`; nothing here loads PyTorch."""

from __future__ import annotations

from typing import Any

from tatsnet.cli.values import count, path


def add_extract(commands: Any) -> None:
    """Add `extract`."""
    parser = commands.add_parser(
        "extract",
        help="make the small network of a training",
        description="Write the physically small network that a search or fine-tuning has found, and prove that it "
        "restores the same.",
        epilog="example: tatsnet extract runs/tuned -o models/mine",
    )
    parser.add_argument("training", type=path, help="folder of `tatsnet train search` or `finetune`")
    parser.add_argument("-o", "--output", type=path, required=True, metavar="DIR", help="folder of the network")
    parser.add_argument(
        "--compact",
        action="store_true",
        help="a fifth of the size: one task-specific part is kept ready, the others are sliced when asked for",
    )


def add_sliders(commands: Any) -> None:
    """Add `sliders`."""
    parser = commands.add_parser(
        "sliders",
        help="make a network's sliders even",
        description="Degrade clean photos, measure how far the restored photo moves with each slider, and keep in the "
        "network's folder at which levels it has moved equally far. `tatsnet demo` and `restore --even` use that; the "
        "levels themselves stay what they were. The pipeline does this by itself.",
        epilog="example: tatsnet sliders models/mine photos",
    )
    parser.add_argument("model", type=path, metavar="DIR", help="folder of an extracted network")
    parser.add_argument("photos", type=path, help="folder of clean photos")
    parser.add_argument(
        "--count", type=count, default=16, metavar="N", help="of them, spread over the folder (default: 16)"
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
