"""The figures as tables in the manner of the paper's Tables 1, 2 and 4; one source for Markdown and HTML."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pipeline.report import paper
from pipeline.report.schema import Metrics, NetworkFigures, SearchCost
from tatsnet.network.tasks import AXES
from tatsnet.quality.evaluation import degraded_grid

NOT_MEASURED = "not measured"
_SPECIAL = re.compile(r"([\\`*_\[\]<>|])")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text.

    Attributes:
        key: a short name, usable as an anchor.
        title: a few words.
        caption: what the figures are, in a sentence or more.
        header: names of the columns; the first `labels` of them hold text, the rest figures.
        rows: each as long as the header.
        marked: rows to set off, by index.
        quoted: number of rows at the end that are the paper's.
    """

    key: str
    title: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1
    marked: frozenset[int] = frozenset()
    quoted: int = 0

    def markdown(self) -> str:
        """GitHub's Markdown: heading, caption, table; figures to the right, marked rows in bold."""
        rule = [":--" if column < self.labels else "--:" for column in range(len(self.header))]
        rows = [[_escape(cell) for cell in row] for row in self.rows]
        rows = [[f"**{c}**" if c else c for c in row] if n in self.marked else row for n, row in enumerate(rows)]
        lines = [_line([_escape(cell) for cell in self.header]), _line(rule), *map(_line, rows)]
        return "\n".join((f"## {_escape(self.title)}", "", _escape(self.caption), "", *lines, ""))


def tables(metrics: Metrics) -> tuple[Table, ...]:
    """Cost, quality, control, each degradation, and trials."""
    made = (cost_table, quality_table, control_table, degradations_table, trials_table)
    return tuple(table(metrics) for table in made)


def cost_table(metrics: Metrics) -> Table:
    """Table 1: FLOPs and latency per effect, each with its ratio to dense."""
    networks = metrics.networks
    cells = {(c.device, c.threads, c.runtime, c.size): None for n in networks for c in n.latency}
    rows = [
        (
            "FLOPs at 1280x720, M = 1",
            *(f"{number(n.gflops_hd_m1, '.1f')} G {_share(n.flops_ratio_m1)}" for n in networks),
            f"({paper.FLOPS['M = 1']})",
        ),
        (
            "FLOPs at 1280x720, M = 27",
            *(f"{number(n.gflops_hd_m27, '.1f')} G {_share(n.flops_ratio_m27)}" for n in networks),
            f"({paper.FLOPS['M = 27']})",
        ),
        *((_place(*key), *(_latency(n, key) for n in networks), "–") for key in cells),
        ("Parameters", *(f"{n.parameters:,} {_share(n.parameters / metrics.dense.parameters)}" for n in networks), "–"),
    ]
    return Table(
        key="cost",
        title="Computation cost per effect",
        caption=(
            "M is the number of effects made of one photo; the shared part is computed once and spread over them. "
            f"In brackets: share of dense. Latency per effect when 27 are made, median ± spread over the repeats, on "
            f"{metrics.machine.cpu}, {metrics.machine.cores} cores, every network in the same runtime; "
            "in brackets: times as fast as dense in the same cell. Parameters: at work for one effect. The paper's "
            "FLOPs are of width 64 and 32 blocks; on its machines TA+TSNet took a third to a quarter of the dense time."
        ),
        header=("Cost per effect", *(_name(n) for n in networks), "the paper's TA+TSNet"),
        rows=tuple(rows),
    )


def quality_table(metrics: Metrics) -> Table:
    """Table 2: PSNR and SSIM by both scorings, NIQE and LPIPS."""
    scored = sorted({n.best27_images for n in metrics.networks if n.psnr_best27_db is not None})
    best = (
        f"mean over {' or '.join(map(str, scored))} inputs, each scored by the best of its 27 effects, as in the paper"
    )
    photos = metrics.profile.test_photos
    best27_input = (number(metrics.input_best27_psnr_db, ".2f"),) if scored else ("–",)
    return Table(
        key="quality",
        title="Restoration quality",
        caption=(
            f"Oracle: mean over 26 degradations of each of {photos} test photos or crops ({26 * photos} inputs), each "
            f"restored by the task vector of its true degradation. Best of 27: {best if scored else NOT_MEASURED}. "
            "SSIM: of RGB, Gaussian window, range 0 to 255. NIQE: whole test photos, degraded three ways and restored "
            f"by the oracle. NIQE, LPIPS: lower is better. {paper.CONDITIONS} Its SSIM is of a definition that it does "
            "not name, and does not compare."
        ),
        header=(
            "Network",
            "PSNR oracle (dB)",
            "SSIM oracle",
            "PSNR best of 27 (dB)",
            "SSIM best of 27",
            "NIQE",
            "LPIPS",
        ),
        rows=(
            ("degraded input", number(metrics.input_psnr_db, ".2f"), "–", *best27_input, *("–",) * 3),
            *(
                (
                    _name(n),
                    number(n.psnr_db, ".2f"),
                    number(n.ssim, ".4f"),
                    measured(n.psnr_best27_db, ".2f"),
                    measured(n.ssim_best27, ".4f"),
                    measured(n.niqe, ".2f"),
                    measured(n.lpips, ".4f"),
                )
                for n in metrics.networks
            ),
            *((f"the paper: {name}", "–", "–", *scores) for name, *scores in paper.QUALITY),
        ),
        quoted=len(paper.QUALITY),
    )


def control_table(metrics: Metrics) -> Table:
    """How each network obeys its sliders."""
    header = ["Network"]
    for axis in AXES:
        header += [f"{axis} gain (dB)", "of dense", "evenness"]
    rows = []
    for n in metrics.networks:
        row = [_name(n)]
        for axis in AXES:
            row += [number(n.gain_db[axis], ".2f"), percent(n.control[axis]), number(n.evenness[axis], ".2f")]
        rows.append((*row, number(n.off_rms, ".2f")))
    return Table(
        key="control",
        title="Control",
        caption=(
            "Gain: PSNR over the input on photos degraded on that axis alone, middle and full level, true task vector; "
            "of dense: as a share of the dense network's. Evenness: 1 when equal moves of the slider change the output "
            "equally, 0.1 when it changes in a single one. Off: what all sliders at 0 change, RMS in 8-bit steps."
        ),
        header=(*header, "off"),
        rows=tuple(rows),
    )


def degradations_table(metrics: Metrics) -> Table:
    """PSNR of every degradation of the grid, input, dense and picks side by side."""
    names = [d.name.replace("_", " ").replace("qnone", "no JPEG") for d in degraded_grid()]
    columns = [metrics.input_by_degradation_db, *(n.psnr_by_degradation_db for n in metrics.networks)]
    clean = ("none", "clean", *(f"changed by {number(n.off_rms, '.2f')}" for n in metrics.networks))
    rows = [(name, *(number(value, ".2f") for value in row)) for name, *row in zip(names, *columns, strict=True)]
    return Table(
        key="degradations",
        title="Each degradation",
        caption=(
            "PSNR in dB, mean over the test photos, with the task vector of the true degradation: blur width in "
            "pixels, noise in 8-bit steps, JPEG quality. The first row is a clean photo with all sliders at 0: the "
            "largest change, RMS in 8-bit steps."
        ),
        header=("Degradation", "input", *(_name(n) for n in metrics.networks)),
        rows=(clean, *rows),
    )


def trials_table(metrics: Metrics) -> Table:
    """Table 4: every finished trial, cheapest first; the Pareto set marked."""
    trials = sorted(metrics.front, key=lambda t: (t.flops_ratio_m27, -t.psnr_db))
    timed = any(t.latency_ratio_m27 is not None for t in trials)
    priced = any(t.usd is not None for t in trials)
    minimised = "PSNR and what the search minimised" if timed else "both PSNR and FLOPs at M = 27"
    time = "Time: predicted for M = 27 from the measured layers, as a share of dense. " if timed else ""
    return Table(
        key="trials",
        title="Trials of the search",
        caption=(
            "Every finished trial, cheapest at M = 27 first. PSNR on the validation photos, oracle task vector, before "
            "fine-tuning; FLOPs per effect as a share of dense; SL is the share of task-agnostic (shared) layers. "
            f"{time}Pareto: no other trial is better in {minimised}.{_cost_in_words(metrics.search_cost)} "
            f"{paper.CONDITIONS} Its λ1 counts single FLOPs and its λ2 sums over channels, so that they do not compare."
        ),
        header=(
            "Trial",
            "Variant",
            "Pareto",
            "Pick",
            "λ1",
            "λ2",
            "γ",
            "SL",
            "PSNR (dB)",
            "FLOPs M = 1",
            "FLOPs M = 27",
            *(("Time M = 27",) if timed else ()),
            *(("Seconds", "Cost") if priced else ()),
        ),
        rows=(
            *(
                (
                    str(t.number),
                    t.variant,
                    "yes" if t.pareto else "",
                    t.pick or "",
                    number(t.lambda1, ".2g"),
                    number(t.lambda2, ".2g"),
                    number(t.gamma, ".3g"),
                    f"{number(t.shared_layers_pct, '.0f')} %",
                    number(t.psnr_db, ".2f"),
                    percent(t.flops_ratio_m1),
                    percent(t.flops_ratio_m27),
                    *((_percent_or_dash(t.latency_ratio_m27),) if timed else ()),
                    *((number(t.seconds, ".0f"), f"{number(t.usd, '.3g')} $") if priced else ()),
                )
                for t in trials
            ),
            *_paper_trials(more=timed + 2 * priced),
        ),
        labels=4,
        marked=frozenset(row for row, t in enumerate(trials) if t.pareto),
        quoted=len(paper.TRIALS),
    )


def _paper_trials(more: int) -> list[tuple[str, ...]]:
    rows = []
    for example, lambda1, lambda2, *figures in paper.TRIALS:
        rows.append((f"the paper's {example}", "TA+TSNet", "", "", lambda1, lambda2, "–", *figures, *("–",) * more))
    return rows


def _cost_in_words(cost: SearchCost | None) -> str:
    if cost is None:
        return ""
    more = f" Suspended trials had cost {cost.under_way_usd:.3g} $ more." if cost.under_way_usd else ""
    return (
        f" All ended trials took {cost.cpu_hours:.3g} CPU-hours, {cost.gpu_hours:.3g} GPU-hours, {cost.usd:.3g} $ at "
        f"the rates of the parameters.{more}"
    )


def number(value: float | None, pattern: str) -> str:
    """A figure in a format; a dash for None and NaN."""
    return "–" if value is None or math.isnan(value) else format(value, pattern)


def measured(value: float | None, pattern: str) -> str:
    """As `number`; None is "not measured"."""
    return NOT_MEASURED if value is None else number(value, pattern)


def _percent_or_dash(share: float | None) -> str:
    return "–" if share is None else percent(share)


def percent(share: float) -> str:
    """A share in %: `26.0 %`, `3.4 %`, `0.21 %`, `100 %`."""
    shown = number(100 * share, ".1f" if share >= 0.00995 else ".2g")
    return f"{shown.removesuffix('.0') if shown == '100.0' else shown} %"


def milliseconds(value: float) -> str:
    """Three significant digits, never an exponent: `2,480`, `147`, `42.9`, `0.412`."""
    return number(value, ",.0f" if value >= 99.95 else ".3g")


def _place(device: str, threads: int, runtime: str, size: str) -> str:
    where = f"{threads} thread{'s' * (threads != 1)}" if device == "cpu" else device
    return f"Latency at {size}, {where}, {runtime}"


def _latency(network: NetworkFigures, key: tuple[str, int, str, str]) -> str:
    for cell in network.latency:
        if (cell.device, cell.threads, cell.runtime, cell.size) == key:
            spread = number(cell.spread_pct, ".0f")
            return f"{milliseconds(cell.ms_per_effect)} ms ± {spread} % ({number(cell.speedup, '.1f')}x)"
    return NOT_MEASURED


def _share(ratio: float) -> str:
    return f"({percent(ratio)})"


def _name(network: NetworkFigures) -> str:
    return network.name if network.name == network.variant else f"{network.name} ({network.variant})"


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
