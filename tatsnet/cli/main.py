"""The parser of `tatsnet`, and its errors: one line on stderr, exit status 2."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from tatsnet import __version__
from tatsnet.cli.errors import shown, told
from tatsnet.cli.model_options import add_extract, add_models, add_sliders
from tatsnet.cli.photo_options import RUNTIMES, add_demo, add_model, add_photo, add_restore, restoration_level
from tatsnet.cli.train_options import add_train
from tatsnet.cli.values import count, path
from tatsnet.system.allocator import keep_freed_memory
from tatsnet.system.cpus import usable_cpus

DEFAULT_LEVELS = (0.0, 0.5, 1.0)
MOST_LEVELS = 6
CLOSED_PIPE = 141
"""As a shell counts it: 128, and 13 for the signal."""

GPU_RUNTIMES = ("cudagraph", "triton")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: without the program's name; that of the process by default, whose freed memory is kept then.

    Returns:
        0; 2 where the user can mend what went wrong; 130 after an interrupt; 141 where nobody reads the output.
    """
    if argv is None:
        keep_freed_memory()
        logging.basicConfig(format="tatsnet: note: %(message)s")
    _show_every_name()
    try:
        status = _parsed_and_run(argv)
        _flush()
        return status
    except BrokenPipeError:
        _close_output()
        return CLOSED_PIPE
    except KeyboardInterrupt:
        _fail("interrupted")
        return 130
    except Exception as error:
        message = told(error)
        if message is None:
            raise
        if isinstance(error, OSError):
            _close_output()  # it may be the output that cannot be written: then it would fail again at the end
        return _fail(message)


def _parsed_and_run(argv: Sequence[str] | None) -> int:
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse after --help or a wrong argument
        return int(stop.code or 0)
    if args.command is None:
        _parser().print_help()
        return 0
    return _run(args)


def _flush() -> None:
    """Write what was printed, so that a full disk is told here and not by the interpreter at its end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "the output") from error


def _show_every_name() -> None:
    """File names may hold bytes that are no text: they are printed with a backslash, not refused."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _close_output() -> None:
    """Nothing more can be printed: what is still to be written goes nowhere, so that nothing fails at the end."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> int:
    with contextlib.suppress(OSError, ValueError):  # nobody reads any more
        print(f"tatsnet: {shown(' '.join(message.split()))}", file=sys.stderr)
    return 2


def _run(args: argparse.Namespace) -> int:
    """The commands' modules load PyTorch, so each is imported when it is wanted."""
    match args.command:
        case "restore":
            from tatsnet.cli.restore import Wanted as Restoration
            from tatsnet.cli.restore import restore
            from tatsnet.network.tasks import AXES, check_task

            restoration = Restoration(
                sources=tuple(args.photos),
                task=check_task([getattr(args, axis) for axis in AXES]),
                even=args.even,
                output=args.output,
                suffix=f".{args.format}" if args.format else None,
                compare=args.compare,
                model=args.model,
                runtime=args.runtime,
            )
            return restore(restoration)
        case "demo":
            from tatsnet.cli.demo import demo

            demo(args.photo, args.model, args.runtime, args.port, open_browser=not args.no_browser)
        case "effects":
            from tatsnet.cli.effects import effects

            effects(args.photo, args.levels, args.output, args.model, args.runtime)
        case "export":
            from tatsnet.cli.export import export_model

            export_model(args.folder, args.output)
        case "extract":
            from tatsnet.cli.extract import extract_training

            print(extract_training(args.training, args.output, compact=args.compact))
        case "sliders":
            from tatsnet.cli.sliders import measure_sliders

            print(measure_sliders(args.model, args.photos, args.count))
        case "models":
            from tatsnet.cli.models import models

            print(models(args.name))
        case "train":
            from tatsnet.cli.train import train

            print(train(args))
        case "bench":
            from tatsnet.cli.bench import Wanted, run_bench

            wanted = Wanted(
                model=args.model,
                pattern=args.pattern,
                sizes=tuple(args.size or ()),
                threads=args.threads,
                runtimes=tuple(args.runtime or ("auto",)),
                precision=args.precision,
                rounds=args.rounds,
                quick=args.quick,
            )
            print(run_bench(wanted, args.json))
        case _:
            from tatsnet.cli.flops import flops

            network = (args.width, args.blocks)
            print(flops(args.size, network, args.model, args.effects, as_json=args.json))
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _fail(f"{message}; see {self.prog} --help")
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tatsnet",
        description="Restores photos with networks that the pipeline found, and counts what they cost.",
        epilog="example: tatsnet restore photo.jpg --deblur 0.5 --denoise 0.3 -o out.png",
    )
    parser.add_argument("--version", action="version", version=f"tatsnet {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    add_restore(commands)
    add_demo(commands)
    _add_effects(commands)
    _add_export(commands)
    _add_flops(commands)
    _add_bench(commands)
    add_train(commands)
    add_extract(commands)
    add_sliders(commands)
    add_models(commands)
    return parser


def _add_effects(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "effects",
        help="restore one photo in a grid of ways",
        description=(
            "Restore one photo by every combination of levels on the three axes, each into a file of its own beside "
            "a labelled contact sheet, contact.jpg. The part that all effects share is computed once."
        ),
        epilog="example: tatsnet effects photo.jpg -o effects --levels 0,0.5,1",
    )
    add_photo(parser)
    parser.add_argument(
        "--levels", type=_levels, default=DEFAULT_LEVELS, metavar="A,B,...", help="on each axis (default: 0,0.5,1)"
    )
    parser.add_argument("-o", "--output", type=path, required=True, metavar="FOLDER", help="made if it is missing")
    add_model(parser)


def _add_export(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "export",
        help="write ONNX files",
        description=(
            "Write an extracted network as ONNX files for use without this project: one for the shared part, one per "
            "gate pattern, and tasks.json, which says which file serves which levels."
        ),
        epilog="example: tatsnet export models/pruned/knee -o onnx; then see examples/onnx_restore.py",
    )
    parser.add_argument("folder", type=path, metavar="MODEL_DIR", help="folder of an extracted network")
    parser.add_argument(
        "-o",
        "--output",
        type=path,
        required=True,
        metavar="FOLDER",
        help="an older export there is replaced, nothing else",
    )


def _add_flops(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "flops",
        help="count operations",
        description=(
            "Count the operations (two per multiply-add, convolutions only) that one effect on one image takes: of "
            "the dense super network, and with --model of a found network on average."
        ),
        epilog="example: tatsnet flops --size 1280x720 --model models/pruned/knee --effects 27",
    )
    parser.add_argument("--size", type=_size, default=(1280, 720), metavar="WxH", help="image (default: 1280x720)")
    parser.add_argument("--width", type=int, metavar="C", help="channels of the super network (default: 64)")
    parser.add_argument("--blocks", type=int, metavar="B", help="its residual blocks (default: 32)")
    parser.add_argument("--model", type=path, metavar="DIR", help="folder of an extracted network")
    parser.add_argument("--effects", type=count, metavar="M", help="effects made of one image (default: 27)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_bench(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure the paper's Table 1 on this machine",
        description=(
            "Time the dense network and pruned ones against each other: same runtime, threads, image and round. "
            "Prints milliseconds per effect of 27, times as fast as dense, and in brackets the share of the FLOPs cut "
            "that became time. Without --model or --pattern the networks have the paper's shape (64 channels, 32 "
            "blocks; TA+TSNet 62 % shared, 4.0 % of the FLOPs) and random weights. An accelerator is measured too "
            "where there is one, unless the named runtimes are all the CPU's."
        ),
        epilog="example: tatsnet bench --quick --json bench.json",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", type=path, metavar="DIR", help="folder of an extracted network")
    what.add_argument("--pattern", type=path, metavar="FILE", help="architecture.json; its weights are drawn")
    parser.add_argument(
        "--size", type=_size, action="append", metavar="WxH", help="image; may be repeated (default: HD, 2K and 4K)"
    )
    parser.add_argument(
        "--threads",
        type=_threads,
        default=_threads("1,all"),
        metavar="A,B,...",
        help="of the CPU; 0 leaves it out (default: 1,all)",
    )
    parser.add_argument(
        "--runtime",
        choices=(*RUNTIMES, *GPU_RUNTIMES),
        action="append",
        help="may be repeated (default: the fastest installed)",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16"),
        help="of every network (default: float32 on the CPU, bfloat16 on a GPU)",
    )
    parser.add_argument("--rounds", type=count, metavar="N", help="counted rounds (default: 3)")
    parser.add_argument("--quick", action="store_true", help="480x320 and one round, unless told otherwise")
    parser.add_argument("--json", type=path, metavar="FILE", help="write every cell there, as they are done")


def _threads(text: str) -> tuple[int, ...]:
    cores = usable_cpus()
    try:
        counts = [cores if part == "all" else int(part) for part in text.split(",")]
    except ValueError:
        counts = [-1]
    if min(counts) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers and 'all'")
    return tuple(sorted(set(counts)))


def _levels(text: str) -> tuple[float, ...]:
    levels = tuple(sorted({restoration_level(part) for part in text.split(",")}))
    if len(levels) > MOST_LEVELS:
        raise argparse.ArgumentTypeError(f"{len(levels)} levels make {len(levels) ** 3} effects; give {MOST_LEVELS}")
    return levels


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and 0 < int(side) <= 10**6 for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 1280x720")
    return int(sides[0]), int(sides[1])
