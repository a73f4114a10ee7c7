"""Settings refuse what cannot be meant, by name, and their defaults are the paper's."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from tatsnet.method.settings import GateRule, MethodConfig, Schedule, TrainConfig


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (TrainConfig, "patch", 7),
        (TrainConfig, "patch", 33),
        (TrainConfig, "batch", 0),
        (TrainConfig, "lr", 0.0),
        (TrainConfig, "lr", math.nan),
        (TrainConfig, "controller_lr", -1e-3),
        (TrainConfig, "controller_lr", math.inf),
        (TrainConfig, "clip", 0.0),
        (TrainConfig, "decay", "linear"),
        (TrainConfig, "device", "tpu"),
        (TrainConfig, "workers", -1),
        (TrainConfig, "seed", -1),
        (Schedule, "iterations", 0),
        (MethodConfig, "effects", 0),
        (MethodConfig, "min_channels", -1),
        (MethodConfig, "group", 0),
        (GateRule, "min_channels", -1),
        (GateRule, "group", -2),
        (MethodConfig, "ema", 0.0),
        (MethodConfig, "ema", 1.1),
        (MethodConfig, "ema", math.nan),
        (MethodConfig, "controller_hidden", 0),
        (MethodConfig, "shared_points", -1),
    ],
)
def test_a_bad_value_is_refused_by_name(kind: Any, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must.*{value}"):
        kind(**{name: value})


@pytest.mark.parametrize(
    "shares", [(0.5, 0.3, 0.7), (0.1, 0.8, 0.7), (-0.1, 0.3, 0.7), (0.1, 0.3, 1.1), (math.nan, 0.3, 0.7)]
)
def test_phases_must_grow_from_0_to_1(shares: tuple[float, float, float]) -> None:
    warmup, specific, agnostic = shares
    with pytest.raises(ValueError, match="phases must grow"):
        Schedule(warmup=warmup, specific=specific, agnostic=agnostic)


def test_phases_may_be_empty() -> None:
    Schedule(warmup=0, specific=0, agnostic=0)
    Schedule(warmup=1, specific=1, agnostic=1)


def test_the_defaults_are_the_papers() -> None:
    config, schedule, method = TrainConfig(), Schedule(), MethodConfig()
    assert (config.patch, config.batch, config.lr, config.decay) == (64, 64, 1e-4, "half")
    assert schedule.iterations == 10**6
    assert method.effects == 27
    assert method.prune
    assert method.shared_points is None


def test_settings_are_frozen() -> None:
    for settings in (TrainConfig(), Schedule(), MethodConfig()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            settings.seed = 1  # type: ignore[union-attr, misc]
