"""What NVIDIA's assembler makes of the kernels that a network needs: registers, spills, shared memory. Needs no GPU.

Kernels have no loops, so the instructions of a program are those that each of its warps issues, and their number is a
floor of its own: a multiprocessor issues four at a time.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tatsnet.runtimes.triton.calls import Call
from tatsnet.runtimes.triton.launch import OPERANDS, SIZES, STAGES, constants, jit
from tatsnet.timing.kernels import call_load, dense_calls, found_calls
from tatsnet.timing.synthetic import PAPER, TATS, TATS_16, TS, Layout, architecture, random_parts

POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.int32: "*i32"}
SHARED_LIMIT = {80: 163 * 1024, 90: 227 * 1024}
"""Shared memory that a program may have, by compute capability."""

MULTIPROCESSORS, CLOCK = 132, 1.83e9
"""Of an H100 or H200, at the clock that its data sheet's 989 TFLOPS are for."""

SHAPES = {"TA+TSNet, runs of 16": TATS_16, "TA+TSNet": TATS, "TSNet": TS}


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A compiled kernel.

    Attributes:
        registers: of a thread.
        spilled: bytes of a thread that did not fit into registers.
        shared: bytes of a program's shared memory.
        instructions: of a warp.
        ptx: what was assembled.
    """

    registers: int
    spilled: int
    shared: int
    instructions: int
    ptx: str

    def issue_ms(self, call: Call) -> float:
        """What issuing a call's instructions takes at least."""
        across, down, images = call.grid(call.tile)
        issued = across * down * images * call.tile.warps * self.instructions
        return 1e3 * issued / (4 * MULTIPROCESSORS * CLOCK)


def variant(call: Call) -> tuple[object, ...]:
    """What calls have in common that run the same compiled kernel."""
    given = tuple((name, value.dtype if isinstance(value, Tensor) else None) for name, value in call.arguments.items())
    return call.kernel, call.tile, call.precision, tuple(call.constants.items()), given


def compile_for(call: Call, capability: int) -> Kernel:
    """Compile a call's kernel as the runtime does, for GPUs of a compute capability."""
    function = jit(call.kernel)
    given = {**call.arguments, **constants(call, call.tile, OPERANDS[call.precision])}
    signature = {name: _type(name, given[name]) for name in function.arg_names}
    fixed = {name: given[name] for name, kind in signature.items() if kind == "constexpr"}
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind[0] == "*"}
    compiled = triton.compile(
        ASTSource(function, signature, fixed, aligned),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": call.tile.warps, "num_stages": STAGES},
    )
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(compiled.asm["cubin"])
        usage = _tool(triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name)
        listing = _tool(triton.knobs.nvidia.nvdisasm.path, file.name)
    used = {name: int(count) for name, count in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage)}
    operations = Counter(re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9]*)", listing))
    return Kernel(
        registers=used["REG"],
        spilled=used["STACK"] + used["LOCAL"],
        shared=compiled.metadata.shared,
        instructions=operations.total() - operations["NOP"],
        ptx=compiled.asm["ptx"],
    )


def _type(name: str, value: object) -> str:
    if isinstance(value, Tensor):
        return POINTERS[value.dtype]
    return "i32" if name in SIZES else "constexpr"


def _tool(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def table(calls: Sequence[Call], capability: int) -> list[str]:
    """A row for each kernel that calls need, in Markdown; `calls` are those of one effect."""
    rows: list[Sequence[object]] = [("kernel", "tile", "calls", "registers", "spilled", "shared", "GB", "ms to issue")]
    count = Counter(variant(call) for call in calls)
    for call in {variant(call): call for call in calls}.values():
        made, tile = compile_for(call, capability), call.tile
        channels = "-".join(str(call.constants[name]) for name in ("I", "BLOCK_M", "O") if name in call.constants)
        what = f"{call.kernel} {channels}", f"{tile.height}x{tile.width}, {tile.warps} warps", count[variant(call)]
        costs = f"{call_load(call).bytes_once / 1e9:.3f}", f"{made.issue_ms(call):.3f}"
        rows.append((*what, made.registers, made.spilled, made.shared, *costs))
    lines = [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return [lines[0], "|:--|:--" + "|--:" * 6 + "|", *lines[1:]]


def main() -> None:
    """Print a table for the dense network, and for the shared and one specific part of each network."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python -m benchmarks.kernels")
    parser.add_argument("--capability", type=int, choices=tuple(SHARED_LIMIT), default=90, help="default: 90")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--size", default="3840x2160", metavar="WxH", help="image (default: 3840x2160)")
    args = parser.parse_args()
    width, height = (int(side) for side in args.size.split("x"))
    precision = getattr(torch, args.precision)
    rows = {"dense": dense_calls(PAPER, height, width, precision)}
    for name, shape in SHAPES.items():
        once, each = found_calls(random_parts(architecture(shape, Layout.TIED)), height, width, precision)
        rows |= {f"{name}, once": once, f"{name}, per effect": each[0]}
    for name, calls in rows.items():
        print("", name, "", *table(calls, args.capability), sep="\n", flush=True)


if __name__ == "__main__":
    main()
