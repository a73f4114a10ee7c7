"""`tatsnet train`: a training on a folder of photos."""

from __future__ import annotations

import argparse
import sys

from tatsnet.cli.errors import CommandError
from tatsnet.cli.work import user_errors
from tatsnet.method.objective import Objective, Variant
from tatsnet.method.settings import MethodConfig, TrainConfig
from tatsnet.method.training import Diverged
from tatsnet.network.architecture import NetworkConfig
from tatsnet.train.run import Job, run

TRAIN = ("patch", "batch", "lr", "controller_lr", "decay", "sampling", "precision", "compile", "device", "threads")


def train(args: argparse.Namespace) -> str:
    """Run it; what to print at its end.

    Raises:
        CommandError: what the user can mend.
    """
    with user_errors(args.output):
        try:
            figures = run(_job(args), _say, args.seconds)
        except Diverged as error:
            raise CommandError(f"{args.output}: {error}; use a smaller --lr") from error
    if figures is None:
        return f"{args.output}: suspended; the same command resumes it"
    if not figures:
        return f"{args.output}: trained; no photo was kept aside to measure by"
    gain = figures["psnr_db"] - figures["input_psnr_db"]
    warning = "" if gain > 0 else "  WARNING: no better than its input; use a smaller --lr or more --iterations"
    return f"{args.output}: {figures['psnr_db']:.2f} dB, input {figures['input_psnr_db']:.2f} dB{warning}"


def _job(args: argparse.Namespace) -> Job:
    common = {
        "kind": args.kind,
        "photos": tuple(args.photos),
        "out": args.output,
        "iterations": args.iterations,
        "begin": args.begin,
        "valid": args.valid,
        "train": TrainConfig(**{name: getattr(args, name) for name in TRAIN}, workers=args.workers, seed=args.seed),
    }
    if args.kind == "dense":
        return Job(**common, network=NetworkConfig(width=args.width, blocks=args.blocks, zero_task=args.zero_task))
    if args.kind == "finetune":
        return Job(**common)
    objective = Objective(variant=Variant(args.variant), lambda1=args.lambda1, lambda2=args.lambda2, gamma=args.gamma)
    method = MethodConfig(min_channels=args.min_channels, group=args.group, specific_points=args.specific_points)
    return Job(**common, objective=objective, method=method)


def _say(text: str) -> None:
    print(f"train  {text}", file=sys.stderr, flush=True)
