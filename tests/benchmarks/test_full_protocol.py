"""The paper's protocol agrees with the report's, which counts otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.full_protocol import psnr_of_all, summary
from pipeline.report.measuring import CPU, Dense, best_of_27, oracle_quality
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.supernet import SuperNetwork
from tatsnet.quality.evaluation import make_eval_photos
from tests.pipeline.search.jobs import smooth_photo


def test_oracle_and_best_of_27_are_those_of_the_report() -> None:
    network = Dense(SuperNetwork(NetworkConfig(width=4, blocks=1), torch.Generator().manual_seed(0)))
    photos = [make_eval_photos(str(seed), smooth_photo(24, 20, seed), 0, 1, 0)[0] for seed in range(2)]
    scores = psnr_of_all(network, photos, CPU)
    made = summary(scores)
    with torch.inference_mode():
        oracle = oracle_quality(network.restore, photos)
    assert made["oracle_db"] == pytest.approx(oracle.psnr_db, abs=1e-4)
    assert made["oracle_by_degradation_db"] == pytest.approx(list(oracle.by_degradation_db), abs=1e-4)
    assert made["best27_db"] == pytest.approx(best_of_27(network, photos).psnr_db, abs=1e-4)
    assert np.isfinite(scores).all()
