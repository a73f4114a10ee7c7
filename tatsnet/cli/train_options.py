"""The arguments of `tatsnet train`; nothing here loads PyTorch."""

from __future__ import annotations

import argparse
from typing import Any

from tatsnet.cli.values import path

DENSE = """example:
  tatsnet train dense photos/ -o runs/dense --width 32 --blocks 16 --iterations 20000"""
SEARCH = """example:
  tatsnet train search photos/ --from runs/dense -o runs/found --lambda1 2e-3 --lambda2 2e-2 --iterations 20000"""
FINETUNE = """example:
  tatsnet train finetune photos/ --from runs/found -o runs/tuned --iterations 10000"""
VARIANTS = ("TSNet", "TSNet-m", "TA+TSNet", "TA+TSNet-m")


def add_train(commands: Any) -> None:
    """Add `train` with its three trainings."""
    parser = commands.add_parser(
        "train",
        help="train, search or fine-tune a network on a folder of photos",
        description="A training on a folder of photos, without any server. It leaves a checkpoint every minute; the "
        "same command resumes it. What comes of it lies in the folder: network.safetensors, curve.json, "
        "figures.json (PSNR of photos that were kept aside).",
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="TRAINING")
    dense = _kind(kinds, "dense", "train a super network, the beginning of every search", DENSE)
    dense.add_argument("--width", type=int, default=64, help="channels (default: 64, the paper's)")
    dense.add_argument("--blocks", type=int, default=32, help="residual blocks (default: 32, the paper's)")
    zero = "what task vector 0 does: leaves the photo alone, or as learned (default: identity)"
    dense.add_argument("--zero-task", choices=("identity", "learned"), default="identity", help=zero)
    dense.add_argument("--from", dest="begin", type=path, metavar="DIR", help="go on from this training's network")
    found = _kind(kinds, "search", "find a network by the search of the paper (eq. 11)", SEARCH)
    found.add_argument(
        "--from",
        dest="begin",
        type=path,
        metavar="DIR",
        required=True,
        help="a dense training, or `dense`, the shipped one",
    )
    found.add_argument("--variant", choices=VARIANTS, default="TA+TSNet-m", help="of the method (default: TA+TSNet-m)")
    found.add_argument("--lambda1", type=float, required=True, help="weight of the FLOPs")
    found.add_argument("--lambda2", type=float, default=0.0, help="weight of the tasks' agreement (default: 0)")
    found.add_argument("--gamma", type=float, default=0.9, help="threshold of eq. 8 and 10 (default: 0.9)")
    found.add_argument("--min-channels", type=int, default=8, help="kept everywhere (default: 8)")
    found.add_argument("--group", type=int, default=1, help="channels that open and close together (default: 1)")
    found.add_argument("--specific-points", type=int, default=0, help="last points that are never shared (default: 0)")
    tuned = _kind(kinds, "finetune", "train a found network further, its architecture fixed", FINETUNE)
    tuned.add_argument("--from", dest="begin", type=path, metavar="DIR", required=True, help="a search")


def _kind(kinds: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=path, nargs="+", help="folders of photos")
    parser.add_argument("-o", "--output", type=path, required=True, metavar="DIR", help="folder of what comes of it")
    parser.add_argument("--iterations", type=int, required=True, help="steps of the training")
    parser.add_argument("--patch", type=int, default=64, help="side of a patch, pixels (default: 64)")
    parser.add_argument("--batch", type=int, default=16, help="patches per step (default: 16)")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of the weights (default: 0.001)")
    parser.add_argument("--controller-lr", type=float, default=1e-2, help="of the controller (default: 0.01)")
    parser.add_argument("--decay", choices=("cosine", "half"), default="cosine", help="of the rates (default: cosine)")
    parser.add_argument("--sampling", choices=("mixed", "paper"), default="mixed", help="of degradations")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="of convolutions")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="do not compile blocks on a GPU")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU (default: PyTorch's choice)")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches on a CPU (default: 0)")
    parser.add_argument("--valid", type=int, default=8, help="photos kept aside to measure by (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches (default: 0)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after so many, suspend the training")
    return parser
