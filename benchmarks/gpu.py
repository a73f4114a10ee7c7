"""Ten minutes of an NVIDIA GPU, in one call: what of this project only a GPU can show, then training.

  a  the runtimes' contract on CUDA (tests/tatsnet/runtimes)
  b  Table 1 at 3840x2160 for torch, CUDA graphs and the Triton kernels, in bfloat16 and float32
  c  the training engine beside a plain loop (benchmarks.training)
  d  trainings in turn, from where they were left, until the time is over
  e  with --test, the paper's Table 2 on whole test photos (benchmarks.full_protocol)

Everything that comes of it lies in one folder: results.json, a log per part, a folder per training. Another call with
the same folder goes on. A part that fails is told and does not stop the others.

    python -m benchmarks.gpu photos/ --out gpu --seconds 540
    python -m benchmarks.gpu photos/ --out gpu --parts d --plan plan.json
    python -m benchmarks.gpu photos/ --out trial --dry-run

A plan is a JSON list of arguments of `tatsnet train`, without photos, in the order in which they are to run. Each has a
`name`; `from` names one before it: [{"name": "dense", "kind": "dense", "width": 64, "iterations": 60000}, ...].
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
RUNTIMES = ("torch", "cudagraph", "triton")
SIZE = "3840x2160"
SHARES = {"a": 0.15, "b": 0.3, "c": 0.2, "d": 1.0, "e": 1.0}
"""Of the time that is left, the most that a part may take."""

PAPER = {"width": 64, "blocks": 32, "patch": 64, "batch": 64}
SMALL = {"width": 8, "blocks": 2, "patch": 32, "batch": 4}
SEARCH = {"lambda1": 1e-3, "lambda2": 2e-2, "patch": 64, "batch": 64}
PLAN: list[dict[str, Any]] = [
    {"name": "dense", "kind": "dense", **PAPER, "iterations": 40_000},
    {"name": "found", "kind": "search", "from": "dense", **SEARCH, "iterations": 20_000},
    {"name": "tuned", "kind": "finetune", "from": "found", "patch": 64, "batch": 64, "iterations": 20_000},
]


class Parts:
    """Runs the parts as processes of their own, so that one that fails or hangs takes no other with it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.out = args, Path(args.out)
        self._until = time.monotonic() + args.seconds
        self.results: dict[str, Any] = {"machine": machine()}

    def left(self) -> float:
        """Seconds."""
        return self._until - time.monotonic()

    def call(self, label: str, command: list[str], seconds: float, env: Mapping[str, str] | None = None) -> str:
        """Run it; what it printed on its standard output, in a log too."""
        begin, log = time.monotonic(), self.out / f"{label}.log"
        try:
            done = subprocess.run(
                command, cwd=ROOT, timeout=seconds, capture_output=True, text=True, env={**os.environ, **(env or {})}
            )
            output, errors, code = done.stdout, done.stderr, str(done.returncode)
        except subprocess.TimeoutExpired as late:
            output, errors, code = _text(late.stdout), _text(late.stderr), f"more than {seconds:.0f} s"
        log.write_text(f"$ {' '.join(command)}\n{output}\n{errors}\nexit: {code}\n")
        took = time.monotonic() - begin
        self.results.setdefault("calls", {})[label] = {"exit": code, "seconds": round(took, 1)}
        self.keep()
        print(f"gpu  {label:12} exit {code}  {took:.0f} s  {_last(output) or _last(errors)}", flush=True)
        return output

    def keep(self) -> None:
        """Write what is known."""
        (self.out / "results.json").write_text(json.dumps(self.results, indent=2))


def _text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else ""


def machine() -> dict[str, str]:
    """What it runs on."""
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "card": card,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cuda": str(torch.version.cuda),
    }


def contract(parts: Parts, seconds: float) -> None:
    """Part a: one process for each runtime, side by side."""
    options = ["-v", "--tb=short", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    words = {f"contract_{name}": f"{name}-cuda" for name in parts.args.runtimes}
    if parts.args.dry_run:
        words = {"contract_recorded": "leave_what_they_share_alone and recorded"}
    tests = "tests/tatsnet/runtimes/test_contract.py"

    def one(label: str) -> str:
        return parts.call(label, [sys.executable, "-m", "pytest", *options, "-k", words[label], tests], seconds)

    with ThreadPoolExecutor(len(words)) as pool:
        for label, output in zip(words, pool.map(one, words), strict=True):
            ends = {end: output.count(f" {end}") for end in ("PASSED", "FAILED", "ERROR")}
            parts.results[label] = {end.lower(): count for end, count in ends.items() if count}


def table(parts: Parts, seconds: float) -> None:
    """Part b: a process for each precision and runtime, one after the other."""
    cells = [(precision, runtime) for precision in parts.args.precisions for runtime in parts.args.runtimes]
    for precision, runtime in cells[:1] if parts.args.dry_run else cells:
        label = f"table1_{precision}_{runtime}"
        target = parts.out / f"{label}.json"
        command = [sys.executable, "-m", "tatsnet.cli", "bench", "--precision", precision, "--json", str(target)]
        command += ["--quick", "--runtime", runtime]
        command += ["--size", "64x48", "--threads", "1"] if parts.args.dry_run else ["--size", SIZE, "--threads", "0"]
        parts.results[label] = parts.call(label, command, seconds / len(cells)).splitlines()


def engine(parts: Parts, seconds: float) -> None:
    """Part c."""
    size = SMALL if parts.args.dry_run else PAPER
    words = [word for name, value in size.items() for word in (f"--{name}", str(value))]
    each = "0.2" if parts.args.dry_run else "5"
    command = [sys.executable, "-m", "benchmarks.training", "--json", "--seconds", each, *words]
    lines = parts.call("engine", command, seconds).splitlines()
    parts.results["engine"] = [json.loads(line) for line in lines if line.startswith("{")]


def trainings(parts: Parts, seconds: float) -> None:
    """Part d."""
    until = time.monotonic() + seconds
    plan = json.loads(Path(parts.args.plan).read_text()) if parts.args.plan else PLAN
    for entry in plan:
        left = until - time.monotonic()
        if left < parts.args.least:
            break
        done = parts.out / entry["name"] / "figures.json"
        if not done.is_file():
            allowed = min(left, entry.get("seconds", left)) - parts.args.least / 2
            parts.call(entry["name"], train_command(entry, parts.args, allowed), left + 60)
        if done.is_file():
            parts.results.setdefault("trainings", {})[entry["name"]] = json.loads(done.read_text())
    parts.keep()


def train_command(entry: Mapping[str, Any], args: argparse.Namespace, seconds: float) -> list[str]:
    """`tatsnet train` for an entry of a plan."""
    command = [sys.executable, "-m", "tatsnet.cli", "train", entry["kind"], *args.photos]
    command += ["-o", str(Path(args.out) / entry["name"]), "--seconds", f"{seconds:.0f}"]
    if "from" in entry:
        command += ["--from", str(Path(args.out) / entry["from"])]
    for name, value in entry.items():
        if name not in ("name", "kind", "from", "seconds"):
            command += [f"--{name}", str(SMALL.get(name, 20) if args.dry_run and name in SIZES else value)]
    return command


def quality(parts: Parts, seconds: float) -> None:
    """Part e: of the shipped networks, and of those that were trained here."""
    if not parts.args.test:
        return
    names = [] if parts.args.dry_run else ["dense", "standard"]
    for settings in sorted(parts.out.glob("*/settings.json")):
        name, target = settings.parent.name, str(parts.out / f"{settings.parent.name}_network")
        if json.loads(settings.read_text())["kind"] == "dense":
            names.append(str(settings.parent))
            continue
        command = [sys.executable, "-m", "tatsnet.cli", "extract", str(settings.parent), "-o", target]
        parts.call(f"extract_{name}", command, seconds)
        names.append(target)
    command = [sys.executable, "-m", "benchmarks.full_protocol", parts.args.test, "--networks", *names]
    command += ["--json", str(parts.out / "full_protocol.json")]
    if parts.args.dry_run:
        command += ["--every", "1000"]
    parts.results["full_protocol"] = parts.call("full_protocol", command, seconds).splitlines()


SIZES = ("width", "blocks", "patch", "batch", "iterations")
PARTS: dict[str, Callable[[Parts, float], None]] = {
    "a": contract,
    "b": table,
    "c": engine,
    "d": trainings,
    "e": quality,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", help="folders of photos to train on")
    parser.add_argument("--out", required=True, help="folder of what comes of it")
    parser.add_argument("--seconds", type=float, default=540.0, help="for everything (default: 540)")
    parser.add_argument("--runtimes", nargs="+", default=RUNTIMES, help="of parts a and b")
    parser.add_argument("--precisions", nargs="+", default=("bfloat16", "float32"), help="of part b")
    parser.add_argument("--parts", default="abcd", help="which, in this order (default: abcd)")
    parser.add_argument("--test", help="folder of test photos, for part e")
    parser.add_argument("--plan", help="JSON file of the trainings (default: the paper's size)")
    parser.add_argument("--least", type=float, default=10.0, help="seconds for which a training is worth its start")
    parser.add_argument("--dry-run", action="store_true", help="everything small, in seconds, on a CPU too")
    args = parser.parse_args()
    args.out, args.photos = str(Path(args.out).resolve()), [str(Path(folder).resolve()) for folder in args.photos]
    Path(args.out).mkdir(parents=True, exist_ok=True)
    parts = Parts(args)
    for name in args.parts:
        try:
            PARTS[name](parts, SHARES[name] * parts.left())
        except Exception as error:  # the other parts are worth their minutes
            parts.results.setdefault("errors", {})[name] = repr(error)
            print(f"gpu  part {name} failed: {error!r}", flush=True)
        parts.keep()


if __name__ == "__main__":
    main()
