"""A plausible report: a run of the quick profile with round figures."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow

from pipeline.report import (
    LatencyCell,
    Machine,
    Metrics,
    Modulation,
    NetworkFigures,
    Pictures,
    Profile,
    SearchCost,
    TaskCost,
    TrialCounts,
    TrialPoint,
)
from tatsnet.data.degradation import Image, evaluation_grid
from tatsnet.network.tasks import AXES

DENSE_MS = {("480x320", 1): 412.0, ("480x320", 2): 236.0, ("1280x720", 1): 2480.0, ("1280x720", 2): 1415.0}


def network(
    name: str = "knee",
    variant: str = "TA+TSNet",
    trial: int | None = 3,
    *,
    shared: float = 0.22,
    specific: float = 0.055,
    psnr_db: float = 26.74,
    shared_pct: float = 44.4,
    parameters: int = 21_411,
    speedup: float = 7.2,
) -> NetworkFigures:
    ratios = tuple((m, shared / m + specific) for m in range(1, 28))
    return NetworkFigures(
        name=name,
        variant=variant,
        trial=trial,
        psnr_db=psnr_db,
        ssim=0.78 + (psnr_db - 26) / 40,
        psnr_best27_db=psnr_db + 0.31,
        ssim_best27=0.785 + (psnr_db - 26) / 40,
        best27_images=52,
        niqe=5.21,
        lpips=None,
        flops_ratio_m1=ratios[0][1],
        flops_ratio_m27=ratios[-1][1],
        gflops_hd_m1=27.3 * ratios[0][1],
        gflops_hd_m27=27.3 * ratios[-1][1],
        shared_layers_pct=shared_pct,
        parameters=parameters,
        control={axis: 0.97 - 0.1 * n for n, axis in enumerate(AXES)},
        gain_db={axis: 6.2 - 2 * n for n, axis in enumerate(AXES)},
        evenness={axis: 0.92 - 0.1 * n for n, axis in enumerate(AXES)},
        off_rms=0.0,
        psnr_by_degradation_db=tuple(psnr_db + 0.3 * (12.5 - n) for n in range(26)),
        flops_by_m=ratios,
        flops_by_task={
            key: tuple(
                TaskCost(level=level, shared=shared, specific=specific * (0.55 + level * (0.6 + 0.1 * n)))
                for level in (0.25, 0.5, 0.75, 1.0)
            )
            for n, key in enumerate((*AXES, "joint"))
        },
        latency=tuple(
            LatencyCell(
                size=size,
                threads=threads,
                runtime="openvino",
                ms_per_effect=ms / speedup,
                spread_pct=3.1,
                speedup=speedup,
            )
            for (size, threads), ms in DENSE_MS.items()
        ),
        speedup_27=speedup,
    )


def trial(number: int, psnr_db: float, ratio_m27: float, *, pareto: bool = True, **changes: object) -> TrialPoint:
    values = {
        "number": number,
        "variant": "TA+TSNet",
        "lambda1": 2e-4,
        "lambda2": 2.6e-2,
        "gamma": 0.9,
        "psnr_db": psnr_db,
        "flops_ratio_m1": 2.2 * ratio_m27,
        "flops_ratio_m27": ratio_m27,
        "shared_layers_pct": 44.4,
        "pareto": pareto,
        "pick": None,
    }
    return TrialPoint(**(values | changes))  # type: ignore[arg-type]


def trials() -> tuple[TrialPoint, ...]:
    return (
        trial(0, 26.31, 0.063, pick="knee", shared_layers_pct=70.4),
        trial(1, 26.02, 0.031, pick="budget", lambda1=9.1e-4, shared_layers_pct=96.3),
        trial(2, 26.71, 0.231, variant="TSNet", lambda2=0.0, pick="best", shared_layers_pct=3.7, flops_ratio_m1=0.231),
        trial(3, 25.41, 0.019, lambda1=4.4e-3, shared_layers_pct=88.9),
        trial(4, 26.55, 0.138, variant="TA+TSNet"),
        trial(5, 26.12, 0.114, variant="TSNet", pareto=False, lambda2=0.0, shared_layers_pct=3.7),
        trial(6, 25.78, 0.048, pareto=False, gamma=0.84),
        trial(7, 26.34, 0.171, variant="TSNet", pareto=False, gamma=0.81),
        trial(8, 25.90, 0.0905, pareto=False),
        trial(9, 26.44, 0.094, gamma=0.94),
    )


def metrics(**changes: object) -> Metrics:
    dense = network(
        "dense",
        "dense",
        None,
        shared=0.0,
        specific=1.0,
        psnr_db=27.59,
        shared_pct=0.0,
        parameters=44_867,
        speedup=1.0,
    )
    picks = (
        network("knee", trial=0, shared=0.2, specific=0.055, psnr_db=26.84, shared_pct=70.4, speedup=9.6),
        network("best", "TSNet", 2, shared=0.02, specific=0.23, psnr_db=27.11, shared_pct=3.7, speedup=3.6),
        network("budget", trial=1, shared=0.25, specific=0.022, psnr_db=26.51, shared_pct=96.3, speedup=14.8),
    )
    values = {
        "profile": Profile(
            width=16,
            blocks=8,
            source="sample",
            dataset_sha256="97e49d31764f3912f0c4122707d53062ac9e783ba0f095e447a4d53c1a41af8e",
            git_commit="5c79a3a0099ccc397c9f72140c64be1d5a0e11b8",
            test_photos=6,
        ),
        "machine": Machine(cpu="AMD EPYC 7B13", cores=2, torch="2.13.0", threads=2),
        "input_psnr_db": 23.40,
        "dense_psnr_db": dense.psnr_db,
        "dense_valid_psnr_db": 27.02,
        "input_best27_psnr_db": 20.9,
        "input_by_degradation_db": tuple(32.0 - 0.7 * n for n in range(26)),
        "hypervolume": 3.107,
        "trials": TrialCounts(finished=10, stopped=2, failed=1),
        "search_cost": SearchCost(cpu_hours=2.5, gpu_hours=1.25, usd=1.6),
        "dense": dense,
        "picks": picks,
        "front": trials(),
        "stages": {
            "download": 1.4,
            "degrade": 6.2,
            "pretrain": 71.0,
            "search": 372.5,
            "select": 1.1,
            "finetune": 96.8,
            "extract": 4.9,
            "benchmark": 61.3,
        },
    }
    return Metrics(**(values | changes))  # type: ignore[arg-type]


def noisy_photo(height: int, width: int, seed: int = 0) -> Image:
    """A smooth ramp with one busy corner at the bottom right."""
    ramp = np.linspace(40, 200, width)[None, :, None].repeat(height, 0).repeat(3, 2)
    busy = np.random.default_rng(seed).normal(0, 30, (height // 2, width // 2, 3))
    ramp[height - height // 2 :, width - width // 2 :] += busy
    return np.clip(ramp, 0, 255).astype(np.uint8)


def pictures(height: int = 60, width: int = 90, photo: str = "china.jpg") -> Pictures:
    """Effects are brighter than the clean photo by how far their sliders are from the middle ones."""
    clean = noisy_photo(height, width)
    effects = []
    for task in [d.task for d in evaluation_grid()]:
        offset = round(40 * sum(abs(level - (0.5 if axis < 2 else 42 / 92)) for axis, level in enumerate(task)))
        effects.append((task, (clean.astype(int) + offset).clip(0, 255).astype(np.uint8)))
    damaged = (clean.astype(int) - 30).clip(0, 255).astype(np.uint8)
    return Pictures(
        input_image=damaged,
        clean=clean,
        effects=tuple(effects),
        network="knee",
        photo=photo,
        degradation="blur 2, noise 25, JPEG quality 60",
        modulations=tuple(modulation(slider) for slider in (*AXES, "all three")),
        trials={0: jpeg(noisy_photo(88, 300)), 4: jpeg(noisy_photo(88, 300, 1))},
    )


def modulation(slider: str) -> Modulation:
    """Two networks that brighten a detail at their own pace."""
    clean = noisy_photo(40, 40)
    positions = (0.0, 0.25, 0.5, 0.75, 1.0)
    rows = {
        name: tuple((clean.astype(int) - round(40 * (1 - p) ** power)).clip(0, 255).astype(np.uint8) for p in positions)
        for name, power in (("dense", 2), ("knee", 1))
    }
    return Modulation(slider=slider, degradation="noise 50", positions=positions, clean=clean, rows=rows)


def jpeg(image: Image) -> bytes:
    """Of an image."""
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "JPEG")
    return buffer.getvalue()
