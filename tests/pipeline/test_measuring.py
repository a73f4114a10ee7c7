from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.report.measuring import (
    HD,
    LEVELS,
    Dense,
    Extracted,
    Measured,
    best_of_27,
    dense_architecture,
    dense_parameters,
    flops_by_m,
    flops_by_task,
    naturalness,
    oracle_quality,
)
from tatsnet.data.degradation import GRID
from tatsnet.method.masked import MaskedNetwork
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.flops import dense_flops, effect_cost
from tatsnet.network.supernet import SuperNetwork
from tatsnet.network.tasks import AXES
from tatsnet.pruned.extraction import extract
from tatsnet.quality.evaluation import EvalPhoto, make_eval_photos, oracle_psnr, to_batch
from tatsnet.quality.metrics import ssim
from tatsnet.quality.niqe import LEAST_SIDE, PristineModel, load_pristine
from tatsnet.restorer import Restorer
from tests.pipeline.search.jobs import smooth_photo
from tests.tatsnet.networks import TINY, frozen_network, random_tasks

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos() -> list[EvalPhoto]:
    return make_eval_photos("p", smooth_photo(26, 40, 0), 20, 2, 0)


@pytest.fixture(scope="module")
def masked() -> MaskedNetwork:
    return frozen_network(4)


@pytest.fixture(scope="module")
def extracted(masked: MaskedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Extracted:
    return Extracted(Restorer.load(extract(masked, tmp_path_factory.mktemp("models") / "net").folder))


@pytest.fixture(scope="module")
def dense() -> Dense:
    return Dense(SuperNetwork(TINY, torch.Generator().manual_seed(0)))


@pytest.fixture(params=["dense", "extracted"])
def network(request: pytest.FixtureRequest) -> Measured:
    measured: Measured = request.getfixturevalue(request.param)
    return measured


def test_many_effects_of_one_image_are_as_one_by_one(network: Measured, photos: list[EvalPhoto]) -> None:
    image, tasks = to_batch([photos[0].degraded[7]], CPU), [*GRID[:3], *random_tasks(2)]
    with torch.inference_mode():
        together = network.effects(image, tasks)
        alone = [network.restore(image, torch.tensor([task])) for task in tasks]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(together, alone, strict=True))


def test_an_extracted_network_measures_as_its_masked_one(
    extracted: Extracted, masked: MaskedNetwork, photos: list[EvalPhoto]
) -> None:
    found = oracle_quality(extracted.restore, photos).psnr_db
    assert found == pytest.approx(oracle_psnr(masked, photos, CPU), abs=1e-3)


def test_a_restorer_that_does_nothing_measures_as_its_input(photos: list[EvalPhoto]) -> None:
    quality = oracle_quality(lambda image, task: image, photos)
    pairs = [(image, photo.clean) for photo in photos for image in photo.degraded]
    assert quality.ssim == pytest.approx(np.mean([ssim(a, b) for a, b in pairs]))
    errors = [np.mean((a.astype(float) - b) ** 2) for a, b in pairs]
    assert quality.psnr_db == pytest.approx(np.mean([10 * np.log10(255**2 / error) for error in errors]), abs=1e-6)


def test_the_best_of_27_is_never_worse_than_the_oracle(network: Measured, photos: list[EvalPhoto]) -> None:
    oracle, best = oracle_quality(network.restore, photos[:1]), best_of_27(network, photos[:1])
    assert best.psnr_db >= oracle.psnr_db - 1e-3
    assert best.ssim >= oracle.ssim - 1e-4


@pytest.fixture(scope="module")
def pristine() -> PristineModel:
    return load_pristine()


def test_naturalness_depends_on_its_seed_alone(dense: Dense, pristine: PristineModel) -> None:
    photo = smooth_photo(LEAST_SIDE, LEAST_SIDE, 0)
    first, again, other = (naturalness(dense, [photo], pristine, seed) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("network", [TINY, NetworkConfig(width=16, blocks=8)], ids=str)
def test_dense_as_an_architecture_costs_what_dense_costs(network: NetworkConfig) -> None:
    architecture = dense_architecture(network)
    for m in (1, 27):
        cost = effect_cost(architecture, *HD, m)
        assert cost.per_effect == pytest.approx(dense_flops(network, *HD))
        assert cost.ratio == pytest.approx(1)
    assert architecture.shared_percent == 0
    assert len(architecture.tasks) == 27


@pytest.mark.parametrize("network", [TINY, NetworkConfig(width=16, blocks=8)], ids=str)
def test_dense_parameters_are_counted_as_the_network_has_them(network: NetworkConfig) -> None:
    assert dense_parameters(network) == sum(p.numel() for p in SuperNetwork(network).parameters())


def test_more_effects_make_each_cheaper_as_the_shared_part_spreads(masked: MaskedNetwork) -> None:
    ratios = flops_by_m(masked.architecture(GRID))
    assert [m for m, _ in ratios] == list(range(1, 28))
    values = [ratio for _, ratio in ratios]
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]


def test_nothing_shared_costs_the_same_for_any_number_of_effects() -> None:
    values = [ratio for _, ratio in flops_by_m(dense_architecture(TINY))]
    assert values == pytest.approx([1.0] * 27)


def test_costs_along_the_sliders_are_those_of_their_tasks(masked: MaskedNetwork) -> None:
    series = flops_by_task(masked, TINY)
    assert set(series) == {*AXES, "joint"}
    for costs in series.values():
        assert tuple(cost.level for cost in costs) == LEVELS
        assert len({cost.shared for cost in costs}) == 1
        assert all(0 < cost.shared + cost.specific <= 1 for cost in costs)
    joint = series["joint"][-1]
    one = effect_cost(masked.architecture([(1.0, 1.0, 1.0)]), *HD, 1)
    assert joint.shared + joint.specific == pytest.approx(one.ratio, rel=1e-4)


def test_dense_costs_the_same_at_every_level() -> None:
    costs = [cost for series in flops_by_task(None, TINY).values() for cost in series]
    assert {(cost.shared, cost.specific) for cost in costs} == {(0.0, 1.0)}


def test_the_tasks_are_those_of_the_27_effects() -> None:
    assert len(set(GRID)) == 27
    assert GRID[0] == (0, 0, 0)
    assert GRID[-1] == (1, 1, 1)
