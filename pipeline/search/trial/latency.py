"""The table of layer times that a search with latency among its objectives is measured by: once per study."""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json
from pipeline.common.progress import say
from pipeline.config import LatencyConfig, Params
from tatsnet.network.architecture import NetworkConfig
from tatsnet.runtimes.choose import pick
from tatsnet.system.progress import Ticker
from tatsnet.timing.cells import machine
from tatsnet.timing.latency_model import LatencyTable
from tatsnet.timing.latency_table import measure_table

ROUNDS = 7


def table_of_study(path: Path, params: Params) -> LatencyTable | None:
    """The table in a file, or where there is none a newly measured one, which is put there; None without the objective.

    A study keeps its table: all its trials are measured by one, whatever machine it goes on with.

    Args:
        path: of the file; what cannot be read is measured again.

    Raises:
        UserError: the runtime cannot be taken here.
    """
    if "latency" not in params.search.objectives:
        return None
    device = str(machine()["cpu"])
    try:
        table = LatencyTable.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        table = _measure(params.search.latency, params.network, device)
        atomic_write_json(path, table.to_json())
    if table.device != device:
        say(f"search  the study keeps its times of {table.device}; this machine is {device}")
    return table


def _measure(config: LatencyConfig, network: NetworkConfig, device: str) -> LatencyTable:
    try:
        runtime = pick(config.runtime, "cpu", config.threads)
    except ValueError as error:
        raise UserError(f"search.latency.runtime: {error}") from error
    say(
        f"search  measures the layers' times on this machine before the trials: {device}, {runtime.name}, "
        f"{config.threads} threads, {config.size}; let nothing else run meanwhile"
    )
    ticker = cache(partial(Ticker, "search latency", out=say))
    return measure_table(
        network,
        runtime,
        config.pixels,
        device=device,
        cpu_threads=config.threads,
        rounds=ROUNDS,
        report=lambda done, total, name: ticker(total).at(done, name),
    )
