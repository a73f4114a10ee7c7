"""A plan as a table for a terminal."""

from __future__ import annotations

from pipeline.commands.plan import Plan, StagePlan, weights


def render(plan: Plan) -> str:
    """The plan as a table for a terminal."""
    header = ("stage", "runs", "iterations", "training", "evaluation", "GPU-hours", "disk")
    rows = [header, *(_row(plan, stage) for stage in (*plan.stages, plan.total))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join((_heading(plan), "", lines[0], rule, *lines[1:-1], rule, lines[-1], "", _closing(plan)))


def _heading(plan: Plan) -> str:
    network = plan.network
    return (
        f"{plan.profile}: photos `{plan.source}`, width {network.width}, {network.blocks} blocks, "
        f"{network.points} selection points, {weights(network) / 1e6:.2f} M weights"
    )


def _closing(plan: Plan) -> str:
    hours = plan.gpu_hours(plan.total)
    if plan.download_bytes is None:
        fetched = f"the photos are your own ({plan.source}): they are not in the disk column"
    else:
        fetched = f"{_bytes(plan.download_bytes)} to download" if plan.download_bytes else "nothing to download"
    return (
        f"{_hours(hours)} GPU-hours at {plan.gpu_tflops:g} TFLOP/s sustained, "
        f"about ${hours * plan.gpu_hour_usd:,.2f} at ${plan.gpu_hour_usd:g} an hour; {fetched}."
    )


def _row(plan: Plan, stage: StagePlan) -> tuple[str, ...]:
    return (
        stage.stage,
        f"{stage.runs:,}" if stage.runs else "",
        f"{stage.iterations:,}" if stage.iterations else "",
        _flops(stage.training_flops),
        _flops(stage.evaluation_flops),
        _hours(plan.gpu_hours(stage)) if stage.flops else "",
        _bytes(stage.disk_bytes) if stage.disk_bytes else "",
    )


def _scaled(value: float, unit: str, prefixes: str) -> str:
    step = 0
    while value >= 999.95 and step < len(prefixes) - 1:
        value, step = value / 1000, step + 1
    return f"{value:.1f} {prefixes[step].strip()}{unit}"


def _hours(hours: float) -> str:
    return f"{hours:,.2f}" if hours >= 0.005 else f"{hours:.0e}"


def _flops(value: float) -> str:
    return _scaled(value / 1e9, "FLOP", "GTPEZY") if value else ""


def _bytes(value: float) -> str:
    return _scaled(value / 1e6, "B", "MGTP")
