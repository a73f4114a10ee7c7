from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from pipeline.report import Metrics
from tests.pipeline.report.factory import metrics, network, pictures


def through_json(value: Metrics) -> Any:
    return json.loads(json.dumps(value.to_json(), allow_nan=False))


def test_what_is_written_is_read_back() -> None:
    assert Metrics.from_json(through_json(metrics())) == metrics()


def test_the_keys_that_others_read() -> None:
    data = through_json(metrics())
    assert next(iter(data)) == "schema"
    assert {"input_psnr_db", "dense_psnr_db", "hypervolume", "trials", "picks"} <= set(data)
    assert set(data["trials"]) == {"finished", "stopped", "failed"}
    for pick in data["picks"]:
        numbers = ("psnr_db", "ssim", "flops_ratio_m1", "flops_ratio_m27", "shared_layers_pct", "speedup_27")
        assert all(isinstance(pick[key], float) for key in numbers)
        assert all(isinstance(pick[key], str) for key in ("name", "variant"))
        for name in ("control", "gain_db", "evenness"):
            assert set(pick[name]) == {"deblur", "denoise", "dejpeg"}
        assert pick["off_rms"] == 0.0
        assert len(pick["psnr_by_degradation_db"]) == 26
        assert pick["flops_by_m"][26] == [27, pick["flops_ratio_m27"]]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_what_is_not_finite_becomes_null(bad: float) -> None:
    pick = dataclasses.replace(network(), niqe=bad, psnr_db=bad)
    data = through_json(metrics(picks=(pick,), hypervolume=bad))
    assert data["hypervolume"] is None
    assert data["picks"][0]["niqe"] is None
    back = Metrics.from_json(data)
    assert math.isnan(back.hypervolume)
    assert back.picks[0].niqe is None
    assert through_json(back) == data


def test_numbers_of_numpy_are_plain_in_the_file() -> None:
    pick = dataclasses.replace(network(), ssim=np.float32(0.5), best27_images=np.int64(52))  # type: ignore[arg-type]
    written = through_json(metrics(picks=(pick,)))["picks"][0]
    assert (written["ssim"], written["best27_images"]) == (0.5, 52)


def broken(path: tuple[Any, ...], value: object) -> Any:
    data = through_json(metrics())
    place = data
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema",), 1, "schema must be 2, got 1"),
        (("schema",), KeyError, "schema must be 2, got None"),
        (("picks", 1, "psnr_db"), KeyError, r"picks\[1\].psnr_db is missing"),
        (("picks", 1, "psnr_db"), "26", r"picks\[1\].psnr_db must be a number"),
        (("picks", 1, "psnr_db"), True, r"picks\[1\].psnr_db must be a number"),
        (("picks", 0, "control", "deblur"), "3", r"picks\[0\].control.deblur must be a number"),
        (("picks", 0, "flops_by_m", 2), [3], r"picks\[0\].flops_by_m\[2\] must be a list of 2"),
        (("front", 0, "pareto"), 1, r"front\[0\].pareto must be true or false"),
        (("trials", "failed"), 0.5, "trials.failed must be a whole number"),
        (("picks",), {}, "picks must be a list"),
        (("picks",), [], "picks must hold at least one"),
        (("dense_psnr_db",), 1.0, "dense_psnr_db is 1.0"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(path: tuple[Any, ...], value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Metrics.from_json(broken(path, value))


def test_keys_of_a_later_version_are_passed_over() -> None:
    assert Metrics.from_json(broken(("picks", 0, "new"), 1)) == metrics()


@pytest.mark.parametrize(
    "change",
    [
        {"clean": np.zeros((60, 91, 3), np.uint8)},
        {"clean": np.zeros((60, 90, 3), np.float32)},
        {"input_image": np.zeros((60, 90), np.uint8)},
        {"effects": pictures().effects[:26]},
        {"effects": (*pictures().effects[:26], pictures().effects[0])},
        {"effects": (*pictures().effects[:26], ((0.3, 0.0, 0.0), pictures().clean))},
    ],
)
def test_pictures_that_make_no_sheet_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        dataclasses.replace(pictures(), **change)
