"""The paper's protocol agrees with the report's, which counts otherwise; what was measured is not measured again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.classical import FILTERS
from benchmarks.full_protocol import filter_scores, measure, network_scores, summary
from pipeline.report.measuring import CPU, Dense, best_of_27, oracle_quality
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.supernet import SuperNetwork
from tatsnet.quality.evaluation import EvalPhoto, make_eval_photos
from tests.pipeline.search.jobs import smooth_photo


@pytest.fixture(scope="module")
def photos() -> list[EvalPhoto]:
    return [make_eval_photos(str(seed), smooth_photo(24, 20, seed), 0, 1, 0)[0] for seed in range(2)]


@pytest.fixture(scope="module")
def network() -> Dense:
    return Dense(SuperNetwork(NetworkConfig(width=4, blocks=1), torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("oracle_only", [False, True])
def test_oracle_and_best_of_27_are_those_of_the_report(
    network: Dense, photos: list[EvalPhoto], oracle_only: bool
) -> None:
    made = summary(measure(lambda *photo: network_scores(network, photo[0], photo[1], CPU, oracle_only), photos, None))
    with torch.inference_mode():
        oracle = oracle_quality(network.restore, photos)
    assert made["oracle_db"] == pytest.approx(oracle.psnr_db, abs=1e-4)
    assert made["oracle_by_degradation_db"] == pytest.approx(list(oracle.by_degradation_db), abs=1e-4)
    best = None if oracle_only else pytest.approx(best_of_27(network, photos).psnr_db, abs=1e-4)
    assert made["best27_db"] == best


def test_what_was_measured_is_kept(photos: list[EvalPhoto], tmp_path: Path) -> None:
    def refuse(*photo: object) -> None:
        raise AssertionError("measured again")

    filters = FILTERS["unsharp"][:2]
    first = measure(lambda *photo: filter_scores(filters, *photo), photos, tmp_path)
    assert first.shape == (2, 26, 2)
    np.testing.assert_array_equal(measure(refuse, photos, tmp_path), first)  # type: ignore[arg-type]


def test_a_filter_is_scored_by_its_best_setting_of_each_degradation() -> None:
    scores = np.zeros((2, 26, 2))
    scores[:, 0] = [[3, 4], [3, 1]]
    made = summary(scores, None)
    assert made["oracle_by_degradation_db"][0] == 3
    assert made["best27_db"] == pytest.approx(3.5 / 26)
