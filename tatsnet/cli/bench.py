"""`tatsnet bench`: the paper's Table 1, measured on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tatsnet.cli.errors import CommandError
from tatsnet.cli.work import user_errors
from tatsnet.data.degradation import GRID
from tatsnet.network.architecture import Architecture
from tatsnet.pruned.checks import check_readable
from tatsnet.pruned.folder import read_folder
from tatsnet.pruned.network import Parts
from tatsnet.runtimes.choose import AUTO, GPU_ONLY, available
from tatsnet.runtimes.dense import held_bytes
from tatsnet.system.json_files import read_json
from tatsnet.system.memory import check_memory
from tatsnet.system.replacing import check_writable, write_atomically
from tatsnet.timing.bench import Place, bench
from tatsnet.timing.cells import Cell, across, table, to_json
from tatsnet.timing.subjects import Subject, pruned, random_dense, spread, synthetic
from tatsnet.timing.synthetic import PAPER, random_parts

ON_GPU = ("torch", *GPU_ONLY)
FULL_SIZES = ((1280, 720), (2048, 1080), (3840, 2160))
QUICK_SIZES = ((480, 320),)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to measure.

    Attributes:
        model: folder of a found network; None takes the pattern, or the synthetic rows.
        pattern: file of an architecture, as in a found network's folder; its weights are random.
        sizes: (width, height); none takes those of the paper, or a small one with `quick`.
        threads: of the CPU, each; 0 leaves the CPU out.
        runtimes: by name, or `auto`.
        precision: of every network; by default float32 on the CPU and bfloat16 on a GPU.
        rounds: counted.
        quick: fewer rounds of fewer effects.
    """

    model: Path | None
    pattern: Path | None
    sizes: tuple[tuple[int, int], ...]
    threads: tuple[int, ...]
    runtimes: tuple[str, ...]
    precision: str | None
    rounds: int | None
    quick: bool


def run_bench(wanted: Wanted, output: Path | None) -> str:
    """The table to print, with the cells in a file too if asked.

    Raises:
        CommandError: nothing to measure on, a network that cannot be read, a runtime that is not there, a file that
            cannot be written.
    """
    cells: list[Cell] = []
    if not places(wanted):
        raise CommandError(
            "there is nothing to measure: these --threads and --runtime leave the CPU out, and there is no accelerator "
            "that they ask for"
        )
    with user_errors(output):
        parts = _parts(wanted)
        network = parts.architecture.network if parts else PAPER
        for width, height in _sizes(wanted):
            check_memory(int(held_bytes(network, height, width)), f"--size {width}x{height}")
        if output is not None:
            _check_output(output, wanted)
        for cell in bench(_subjects(wanted, parts), _sizes(wanted), places(wanted), _rounds(wanted), _say):
            cells.append(cell)
            if output is not None:
                write_atomically(output, json.dumps(to_json(cells), indent=2).encode())
    return f"{table(cells)}\n\n{across(cells)}".rstrip()


def _check_output(output: Path, wanted: Wanted) -> None:
    """Refuse, before any long work, a file that could not be written, or that the networks are read from.

    Raises:
        CommandError: it is read from.
        OSError: it could not be written.
    """
    check_writable(output)
    read = [wanted.pattern] if wanted.pattern else list(wanted.model.rglob("*")) if wanted.model else []
    if output.exists() and any(path.is_file() and path.samefile(output) for path in read):
        raise CommandError(f"{output} is a file of the network itself; give another name with --json")


def _say(text: str) -> None:
    print(f"bench  {text}", file=sys.stderr, flush=True)


def _sizes(wanted: Wanted) -> Sequence[tuple[int, int]]:
    return wanted.sizes or (QUICK_SIZES if wanted.quick else FULL_SIZES)


def _rounds(wanted: Wanted) -> int:
    return wanted.rounds or (1 if wanted.quick else 3)


def places(wanted: Wanted) -> list[Place]:
    """Every device, number of threads and runtime to measure at.

    An accelerator too where there is one, unless runtimes are named and none of them serves it.
    """
    on_cpu = [
        Place(device="cpu", threads=threads, runtime=runtime, precision=wanted.precision or "float32")
        for threads in wanted.threads
        if threads
        for runtime in wanted.runtimes
        if runtime not in GPU_ONLY
    ]
    if not torch.cuda.is_available():
        return on_cpu
    precision = wanted.precision or "bfloat16"
    names = tuple(runtime for runtime in wanted.runtimes if runtime in ON_GPU)
    if not names and AUTO in wanted.runtimes:
        names = available("cuda", precision=getattr(torch, precision))
    return on_cpu + [Place(device="cuda", threads=0, runtime=name, precision=precision) for name in names]


def _subjects(wanted: Wanted, parts: Parts | None) -> list[Subject]:
    few = 1 if wanted.quick else 3
    if parts is None:
        return [random_dense(PAPER, few), *synthetic(few)]
    name = str(wanted.model or wanted.pattern)
    tasks = GRID if parts.architecture.shared else spread(few)
    return [random_dense(parts.architecture.network, few), pruned(name, parts, tasks)]


def _parts(wanted: Wanted) -> Parts | None:
    if wanted.model is not None:
        try:
            return read_folder(wanted.model)
        except ValueError as error:
            raise CommandError(f"cannot load the network in {wanted.model}: {error}") from error
    if wanted.pattern is None:
        return None
    try:
        found = read_json(wanted.pattern)
        architecture = Architecture.from_json(found.get("architecture", found))
        check_readable(architecture)
        return random_parts(architecture)
    except (ValueError, AttributeError) as error:
        raise CommandError(f"{wanted.pattern} holds no architecture: {error}") from error
