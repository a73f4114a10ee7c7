"""The report as one HTML page that needs nothing beside it: no script, no request, pictures inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from PIL import Image as Pillow

from pipeline.report.contact import best_effect
from pipeline.report.modulation import modulation_jpeg
from pipeline.report.pictures import Modulation, Pictures
from pipeline.report.plots import spots
from pipeline.report.schema import Metrics, NetworkFigures, TrialPoint
from pipeline.report.tables import number, percent, tables
from tatsnet.data.degradation import Image
from tatsnet.network.tasks import AXES
from tatsnet.quality.metrics import psnr
from tatsnet.system.progress import duration

TEMPLATE = Path(__file__).with_name("page.html")
_WIDEST, _HIGHEST = 520, 390


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image of the page: a data URI, another for dark pages or None, and what it shows for who cannot see it."""

    light: str
    dark: str | None = None
    alt: str


def page(metrics: Metrics, pictures: Pictures, sheet: bytes, plots: Mapping[str, tuple[bytes, bytes]]) -> str:
    """The page.

    Args:
        sheet: the contact sheet, a JPEG file.
        plots: `pareto`, `flops_over_m` and `flops_over_task`, each as two SVG files, on light and on dark.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(percent=percent, number=number, duration=duration)
    lead = next((pick for pick in metrics.picks if "knee" in pick.name), metrics.picks[0])
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        metrics=metrics,
        lead=lead,
        alive=[(pick, names, _answers(pick)) for pick, names in _networks(metrics.picks)],
        photos=_photos(pictures),
        modulations=[(shown, _modulation(shown)) for shown in pictures.modulations],
        spots=spots(metrics),
        trials=[(t, _trial(t, pictures.trials[t.number])) for t in metrics.front if t.number in pictures.trials],
        pictures=pictures,
        sheet=Picture(light=_uri(sheet, "image/jpeg"), alt=_sheet_alt(pictures)),
        pareto=_plot(plots["pareto"], _pareto_alt(metrics)),
        over_m=_plot(plots["flops_over_m"], _over_m_alt(metrics)),
        over_task=_plot(plots["flops_over_task"], _over_task_alt(metrics)),
        tables=tables(metrics),
        longest=max(metrics.stages.values(), default=1.0),
        total=sum(metrics.stages.values()),
    )


def _photos(pictures: Pictures) -> list[tuple[str, str, Picture]]:
    """Title, line below and picture of the input, the best effect and the clean photo."""
    task = best_effect(pictures)
    restored = dict(pictures.effects)[task]
    sliders = ", ".join(f"{axis} {level:.2g}" for axis, level in zip(AXES, task, strict=True))
    given, gained = psnr(pictures.input_image, pictures.clean), psnr(restored, pictures.clean)
    below = f"{given:.1f} dB" + (f", {pictures.degradation}" if pictures.degradation else "")
    name = pictures.photo or "the photo"
    return [
        ("Degraded input", below, _photo(pictures.input_image, f"{name}, degraded: {below}")),
        ("Restored", f"{gained:.1f} dB, {sliders}", _photo(restored, f"{name}, restored with {sliders}")),
        ("Clean original", "what was to be found again", _photo(pictures.clean, f"{name}, clean original")),
    ]


def _photo(image: Image, alt: str) -> Picture:
    """The middle of a photo, at most 520 x 390, at its own pixels; a small one enlarged by whole pixels."""
    height, width = image.shape[:2]
    top, left = max(height - _HIGHEST, 0) // 2, max(width - _WIDEST, 0) // 2
    buffer = io.BytesIO()
    cut = Pillow.fromarray(image[top : top + _HIGHEST, left : left + _WIDEST])
    times = max(1, min(_WIDEST // cut.width, _HIGHEST // cut.height))
    cut = cut.resize((times * cut.width, times * cut.height), Pillow.Resampling.NEAREST)
    cut.save(buffer, "JPEG", quality=95, subsampling=0)
    return Picture(light=_uri(buffer.getvalue(), "image/jpeg"), alt=alt)


def _modulation(shown: Modulation) -> Picture:
    levels = ", ".join(f"{position:g}" for position in shown.positions)
    rows = " and ".join(shown.rows)
    alt = f"A detail with {shown.degradation} at {levels} of {shown.slider}, by {rows}, and the clean detail."
    return Picture(light=_uri(modulation_jpeg(shown), "image/jpeg"), alt=alt)


def _trial(trial: TrialPoint, sheet: bytes) -> Picture:
    alt = f"27 effects of trial {trial.number} on a detail of a photo, beside the clean and the degraded one."
    return Picture(light=_uri(sheet, "image/jpeg"), alt=alt)


def _plot(files: tuple[bytes, bytes], alt: str) -> Picture:
    light, dark = (_uri(data, "image/svg+xml") for data in files)
    return Picture(light=light, dark=dark, alt=alt)


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _networks(picks: Sequence[NetworkFigures]) -> list[tuple[NetworkFigures, str]]:
    """Each network once, with the names of all rules that picked it."""
    names: dict[int | str, list[str]] = {}
    first: dict[int | str, NetworkFigures] = {}
    for pick in picks:
        network = pick.name if pick.trial is None else pick.trial
        first.setdefault(network, pick)
        names.setdefault(network, []).append(pick.name)
    return [(pick, ", ".join(names[network])) for network, pick in first.items()]


def _answers(pick: NetworkFigures) -> str:
    return ", ".join(f"{axis} {percent(pick.control[axis])}" for axis in AXES if axis in pick.control)


def _sheet_alt(pictures: Pictures) -> str:
    return (
        f"Contact sheet: a detail of {pictures.photo or 'the photo'} with 27 combinations of three levels each of "
        f"{AXES[0]} (rows), {AXES[1]} and {AXES[2]} (columns), made by the network {pictures.network}."
    )


def _pareto_alt(metrics: Metrics) -> str:
    front = sorted((t for t in metrics.front if t.pareto), key=lambda t: t.flops_ratio_m27)
    points = "; ".join(f"{number(t.psnr_db, '.2f')} dB at {percent(t.flops_ratio_m27)}" for t in front)
    return f"Scatter plot of {len(metrics.front)} trials, PSNR over FLOPs. The Pareto front: {points}."


def _over_m_alt(metrics: Metrics) -> str:
    falls = "; ".join(f"{p.name} {percent(p.flops_ratio_m1)} to {percent(p.flops_ratio_m27)}" for p in metrics.picks)
    return f"Line plot of FLOPs per effect, as a share of dense, for 1 to 27 effects of one photo: {falls}."


def _over_task_alt(metrics: Metrics) -> str:
    names = ", ".join(pick.name for pick in metrics.picks)
    return f"Bar plots of FLOPs at four levels of each slider for {names}: the shared part once, the rest per effect."
