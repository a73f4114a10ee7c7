"""What stands in MLflow beside a trial and beside a registered network, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.report.schema import NetworkFigures
from tatsnet.network.tasks import AXES

TERMS = {
    "sample": "photos that scikit-image, matplotlib and scikit-learn ship, each under its own terms",
    "bsds": "BSDS500 (Berkeley), for non-commercial research and education",
    "div2k": "DIV2K for training and CBSD68 for the test, for academic research",
    "folder": "photos of the user's own folder, under the terms that these have",
    "s3": "photos of the user's own bucket, under the terms that these have",
}
"""What each `data.source` may be used for. A network that learnt from photos is best held to the same."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """How a network was found and on what.

    Attributes:
        study, trial: the search's study and its trial.
        point: what the trial was given: variant, lambda1, lambda2, gamma.
        iterations: of the trial and of fine-tuning after it.
        source: `data.source` of the parameters.
        dataset_sha256: of the photos' manifest.
        difference: largest difference between the extracted and the masked network's outputs.
        dense_psnr_db: of the dense network on the same test photos.
    """

    study: str
    trial: int
    point: Mapping[str, Any]
    iterations: tuple[int, int]
    source: str
    dataset_sha256: str
    difference: float
    dense_psnr_db: float


def tags_of(figures: NetworkFigures, origin: Origin) -> dict[str, str]:
    """A registered version's figures as tags: what `promote` checks, and what the registry's table can show."""
    tags = {
        "variant": figures.variant,
        "trial": str(origin.trial),
        "study": origin.study,
        "dataset_sha256": origin.dataset_sha256,
        "psnr_db": f"{figures.psnr_db:.3f}",
        "ssim": f"{figures.ssim:.4f}",
        "flops_ratio_m1": f"{figures.flops_ratio_m1:.4f}",
        "flops_ratio_m27": f"{figures.flops_ratio_m27:.4f}",
        "shared_layers_pct": f"{figures.shared_layers_pct:.1f}",
        "speedup_27": f"{figures.speedup_27:.2f}",
        "difference": f"{origin.difference:.2e}",
        "to_dense_db": f"{figures.psnr_db - origin.dense_psnr_db:+.3f}",
        "weakest_slider": f"{min(figures.control.values()):.3f}",
        "off_rms": f"{figures.off_rms:.3f}",
    }
    tags |= {f"control_{axis}": f"{figures.control[axis]:.3f}" for axis in AXES}
    tags |= {f"evenness_{axis}": f"{figures.evenness[axis]:.3f}" for axis in AXES}
    return tags


def model_card(figures: NetworkFigures, origin: Origin, model: str, picture: str = "") -> str:
    """The description of a registered version.

    Args:
        model: name of the registered model.
        picture: address of the contact sheet; empty shows none.
    """
    to_dense = f" ({figures.psnr_db - origin.dense_psnr_db:+.2f} to dense)"
    cell = figures.latency[-1]
    sliders = "".join(
        f"| {axis} | {figures.gain_db[axis]:.2f} dB | {figures.control[axis]:.0%} | {figures.evenness[axis]:.2f} |\n"
        for axis in AXES
    )
    point = ", ".join(f"{name} {origin.point[name]:.2g}" for name in ("lambda1", "lambda2", "gamma"))
    return f"""\
Restores a photo by three sliders, deblur, denoise and dejpeg: {figures.variant}, trial {origin.trial} of study \
{origin.study[:8]}.

| figure | |
|:--|:--|
| PSNR | {figures.psnr_db:.2f} dB{to_dense}, SSIM {figures.ssim:.3f}; test photos, oracle task vector |
| FLOPs of dense | {figures.flops_ratio_m27:.1%} at 27 effects, {figures.flops_ratio_m1:.1%} at one |
| time | {cell.ms_per_effect:.1f} ms per effect of 27 at {cell.size} on {cell.threads} threads ({cell.runtime}), \
{figures.speedup_27:.1f} times as fast as dense |
| shared points | {figures.shared_layers_pct:.0f} % |
| equality | extracted and masked network differ by {origin.difference:.1e} at most |

| slider | gain on photos with this fault alone | of the dense network's | evenness |
|:--|--:|--:|--:|
{sliders}
**How it was found.** {point}; {origin.iterations[0]} iterations of search, {origin.iterations[1]} of fine-tuning. \
Photos: {TERMS[origin.source]} (`{origin.dataset_sha256[:12]}`).

**Limits.** Trained on Gaussian blur up to sigma 4, noise up to sigma 50 and JPEG down to quality 10, on synthetic \
degradations alone; what was not among them may come out worse than it went in. A slider that moves little above moves \
little in use.

**Load it.**

    tatsnet restore photo.jpg --model models:/{model}/VERSION --deblur 0.5 -o out.png
    mlflow.pyfunc.load_model("models:/{model}/VERSION").predict(photo, params={{"deblur": 0.5}})
{picture and f"{chr(10)}![27 effects of one photo]({picture}){chr(10)}"}"""


def artifact_address(run_id: str, path: str) -> str:
    """Where MLflow's own pages find an artifact of a run, for a picture on a card."""
    return f"get-artifact?path={path}&run_uuid={run_id}"


def trial_card(
    number: int,
    study: str,
    point: Mapping[str, Any],
    figures: Mapping[str, Any],
    state: str,
    reason: str | None,
    picture: str = "",
) -> str:
    """The description of a trial's run.

    Args:
        figures: its `metrics` as in `search/trials.json`; whatever is missing is left out.
        state: how it ended.
        picture: address of its 27 effects; empty shows none.
    """
    found = ", ".join(f"{name} {point[name]:.2g}" for name in ("lambda1", "lambda2", "gamma"))
    lines = [f"Trial {number}, {point['variant']} ({found}): **{state}**" + (f". {reason}" if reason else "")]
    if "flops_ratio_m27" in figures:
        text = f"**{figures['psnr_db']:.2f} dB** at **{figures['flops_ratio_m27']:.1%}** of the dense FLOPs (27 effects"
        text += f"; {figures['flops_ratio_m1']:.1%} at one)" if "flops_ratio_m1" in figures else ")"
        if "shared_layers_pct" in figures:
            text += f"; {figures['shared_layers_pct']:.0f} % of the points shared"
        lines += ["", text]
    if state == "finished":
        lines += ["", f"Make a model of it: `python -m pipeline pick {number} --study {study[:8]}`"]
    if shares := figures.get("control"):
        lines += ["", "| slider | gain | of the dense network's | evenness |", "|:--|--:|--:|--:|"]
        for axis, share in shares.items():
            gain, even = figures["gain_db"][axis], figures["evenness"][axis]
            lines.append(f"| {axis} | {gain:.2f} dB | {share:.0%} | {even:.2f} |")
        lines.append(f"\nAll sliders at 0 change a photo by at most {figures['off_rms']:.2f} 8-bit steps (RMS).")
    if picture:
        lines.append(f"\n![clean above degraded, then 27 effects: deblur down, denoise and dejpeg across]({picture})")
    return "\n".join(lines)
