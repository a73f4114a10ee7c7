"""Trainings of a tiny network on made-up photos: what moves in each phase, what stays, and how a training ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tatsnet.data.degradation import GRID, Image, blur
from tatsnet.data.pairs import Batch, PairSampler, PhotoPack, batches
from tatsnet.method import training
from tatsnet.method.engine import pick_device
from tatsnet.method.masked import MaskedNetwork, Phase
from tatsnet.method.objective import Objective, Variant
from tatsnet.method.settings import MethodConfig, Schedule, TrainConfig
from tatsnet.method.training import (
    REPORT_EVERY,
    Diverged,
    Progress,
    finetune,
    phase_at,
    search,
    train_dense,
)
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.flops import effect_cost
from tatsnet.network.supernet import SuperNetwork
from tatsnet.system.files import pack, unpack
from tests.tatsnet.networks import some_tasks

NETWORK = NetworkConfig(width=8, blocks=2)  # 9 selection points
SHALLOW = NetworkConfig(width=16, blocks=1)  # learns within a hundred iterations
CONFIG = TrainConfig(patch=16, batch=6, lr=5e-3, controller_lr=2e-2, decay="cosine", device="cpu")
SCHEDULE = Schedule(iterations=4 * REPORT_EVERY, warmup=0.25, specific=0.5, agnostic=0.75)
CPU = torch.device("cpu")

Look = Callable[[int], None]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made_up_photo(seed: int) -> Image:
    """Soft blobs of colour."""
    soft = blur(np.random.default_rng(seed).normal(0, 1, (64, 64, 3)).astype(np.float32), 3.0)
    return np.clip(128 + 50 * soft / soft.std(), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def sampler() -> PairSampler:
    pack = PhotoPack.of([made_up_photo(seed) for seed in range(3)])
    return PairSampler(pack, patch=CONFIG.patch, batch=CONFIG.batch, relative=False, seed=0)


@pytest.fixture(scope="module")
def ready(sampler: PairSampler) -> list[Batch]:
    return list(batches(sampler, 0, 120, CONFIG.workers))


@pytest.fixture(scope="module")
def held_out(sampler: PairSampler) -> Batch:
    parts = zip(*(sampler[10_000 + i] for i in range(8)), strict=True)
    inputs, targets, tasks = (torch.cat(part) for part in parts)
    return Batch(inputs, targets, tasks)


def watched(ready: Sequence[Batch], stop: int, look: Look) -> Iterator[Batch]:
    """The batches of a training; `look(i)` sees the model after i iterations."""
    for iteration, batch in enumerate(ready[:stop]):
        look(iteration)
        yield batch


def values(module: nn.Module) -> list[Tensor]:
    return [value.detach().clone() for value in module.state_dict().values()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@torch.no_grad()
def l1(restore: nn.Module, batch: Batch) -> float:
    return float((restore(batch.input_BCHW, batch.task_BD) - batch.target_BCHW).abs().mean())


def masked(sharing: bool = True, **method: Any) -> MaskedNetwork:
    settings = MethodConfig(**({"min_channels": 1, "controller_hidden": 8} | method))
    return MaskedNetwork(NETWORK, settings, gamma=0.75, sharing=sharing, generator=seeded())


@torch.no_grad()
def quick_to_learn(network: SuperNetwork) -> SuperNetwork:
    """Larger weights than a deep network can bear: a shallow one leaves the identity at once."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=seeded(module.weight.numel()))
            module.weight.mul_(0.45)
    return network


def objective(lambda1: float = 0.01, lambda2: float = 0.01, variant: Variant = Variant.TA_TS) -> Objective:
    return Objective(variant=variant, lambda1=lambda1, lambda2=lambda2, gamma=0.75)


def run_search(
    model: MaskedNetwork,
    ready: Sequence[Batch],
    aim: Objective,
    schedule: Schedule = SCHEDULE,
    look: Look = lambda _: None,
) -> list[Progress]:
    made = watched(ready, schedule.iterations, look)
    return list(search(model, aim, made, schedule, CONFIG, CPU, seeded(7)))


def test_a_dense_training_restores_better_than_it_began(ready: list[Batch], held_out: Batch) -> None:
    network = quick_to_learn(SuperNetwork(SHALLOW, seeded()))
    degraded = float((held_out.input_BCHW - held_out.target_BCHW).abs().mean())
    before = l1(network, held_out)
    list(train_dense(network, ready, len(ready), CONFIG, CPU))
    after = l1(network, held_out)
    assert after < 0.95 * before
    assert after < 0.95 * degraded


def test_a_training_reports_regularly_and_at_its_end(ready: list[Batch]) -> None:
    stop = 2 * REPORT_EVERY + 3
    reports = list(train_dense(SuperNetwork(NETWORK, seeded()), ready[:stop], stop, CONFIG, CPU))
    assert [r.iteration for r in reports] == [REPORT_EVERY, 2 * REPORT_EVERY, stop]
    assert {r.iterations for r in reports} == {stop}
    assert {r.phase for r in reports} == {"open"}
    assert all(r.loss == r.terms["l1"] > 0 for r in reports)


@pytest.mark.parametrize(
    ("iteration", "sharing", "expected"),
    [
        (0, True, Phase.OPEN),
        (9, True, Phase.OPEN),
        (10, True, Phase.SPECIFIC),
        (39, True, Phase.SPECIFIC),
        (40, True, Phase.JOINT),
        (69, True, Phase.JOINT),
        (70, True, Phase.FROZEN),
        (99, True, Phase.FROZEN),
        (9, False, Phase.OPEN),
        (40, False, Phase.SPECIFIC),
        (69, False, Phase.SPECIFIC),
        (70, False, Phase.FROZEN),
    ],
)
def test_phases_follow_the_schedule(iteration: int, sharing: bool, expected: Phase) -> None:
    assert phase_at(iteration, Schedule(iterations=100, warmup=0.1, specific=0.4, agnostic=0.7), sharing) is expected


def test_empty_phases_are_skipped() -> None:
    frozen = Schedule(iterations=10, warmup=0, specific=0, agnostic=0)
    opened = Schedule(iterations=10, warmup=1, specific=1, agnostic=1)
    assert {phase_at(i, frozen, True) for i in range(10)} == {Phase.FROZEN}
    assert {phase_at(i, opened, True) for i in range(10)} == {Phase.OPEN}


def test_each_phase_moves_what_it_should_and_nothing_else(ready: list[Batch]) -> None:
    model = masked()
    seen: dict[int, tuple[list[Tensor], list[Tensor], list[Tensor]]] = {}
    gates: list[Tensor] = []

    def look(iteration: int) -> None:
        if iteration in (0, 25, 50, 74, 75):
            seen[iteration] = values(model.supernet), values(model.controller), values(model.consensus)
        if iteration >= 75:
            gates.append(model.gates(torch.tensor(GRID), Phase.FROZEN).effective_BNC)

    reports = run_search(model, ready, objective(lambda1=1.0), look=look)
    seen[100] = values(model.supernet), values(model.controller), values(model.consensus)
    weights, controller, consensus = zip(*(seen[at] for at in sorted(seen)), strict=True)
    assert [r.phase for r in reports] == ["open", "specific", "joint", "frozen"]
    assert not any(same(a, b) for a, b in pairwise(weights))
    # stages:                         warm-up, specific, joint, last joint step and freezing, the rest
    assert [same(a, b) for a, b in pairwise(controller)] == [True, False, False, False, True]
    assert [same(a, b) for a, b in pairwise(consensus)] == [True, False, False, False, True]
    assert not any(p.requires_grad for p in model.controller.parameters())
    assert bool(model.is_frozen)
    assert len(gates) == 25
    assert all(torch.equal(a, b) for a, b in pairwise(gates))
    assert gates[0].min() == 0  # something was pruned


def test_the_loss_is_the_objective_until_the_architecture_is_frozen(ready: list[Batch]) -> None:
    aim = objective(lambda1=0.3, lambda2=0.2)
    opened, specific, joint, frozen = run_search(masked(), ready, aim)
    assert set(opened.terms) == {"l1"}
    for report in (specific, joint):
        terms = report.terms
        assert report.loss == pytest.approx(terms["l1"] + 0.3 * terms["r1"] + 0.2 * terms["r2"], rel=1e-5)
        assert terms["r1"] > 0
    assert opened.loss == opened.terms["l1"]
    assert frozen.loss == frozen.terms["l1"]


def test_a_search_that_is_never_frozen_ends_frozen(ready: list[Batch]) -> None:
    model = masked()
    schedule = Schedule(iterations=5, warmup=0, specific=0.2, agnostic=1)
    assert run_search(model, ready, objective(), schedule)[-1].phase == "joint"
    assert bool(model.is_frozen)
    model.architecture(GRID)


def test_tsnet_has_no_joint_phase_and_shares_nothing(ready: list[Batch]) -> None:
    model = masked(sharing=False)
    reports = run_search(model, ready, objective(variant=Variant.TS))
    assert [r.phase for r in reports] == ["open", "specific", "specific", "frozen"]
    assert {r.terms["shared_points"] for r in reports[1:]} == {0}
    assert {r.terms["r2"] for r in reports[1:]} == {0}
    assert model.shared == 0


def test_table_3_shares_a_fixed_number_and_prunes_nothing(ready: list[Batch]) -> None:
    model = masked(prune=False, shared_points=4)
    reports = run_search(model, ready, objective(lambda1=1.0))
    assert [r.terms.get("shared_points") for r in reports] == [None, 0, 4, 4]
    cost = effect_cost(model.architecture(GRID), 64, 64, 1)
    assert cost.shared + cost.specific == pytest.approx(cost.dense, rel=1e-6)
    assert cost.shared > 0


def test_equal_seeds_give_equal_networks(ready: list[Batch]) -> None:
    schedule = Schedule(iterations=24, warmup=0.25, specific=0.5, agnostic=0.75)
    models = [masked(), masked()]
    for model in models:
        run_search(model, ready, objective(), schedule)
    assert same(values(models[0]), values(models[1]))
    assert not same(values(models[0]), values(masked()))


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_training(ready: list[Batch], broken: float) -> None:
    def stream() -> Iterator[Batch]:
        for i, batch in enumerate(ready[:50]):
            yield batch._replace(input_BCHW=torch.full_like(batch.input_BCHW, broken)) if i == 30 else batch

    schedule = Schedule(iterations=50, warmup=0.2, specific=0.4, agnostic=0.8)
    for broken_training in (
        train_dense(SuperNetwork(NETWORK, seeded()), stream(), 50, CONFIG, CPU),
        search(masked(), objective(), stream(), schedule, CONFIG, CPU, seeded()),
    ):
        assert next(broken_training).iteration == 25
        with pytest.raises(Diverged, match="loss became nan at iteration 50 of 50"):
            next(broken_training)


@pytest.mark.parametrize(("decay", "late"), [("half", 0.1), ("cosine", 0.146)])
def test_the_rate_decays(ready: list[Batch], decay: str, late: float) -> None:
    """Adam's steps are as long as the rate: at 3/4 of a training a tenth, or (1 + cos(3 pi / 4)) / 2 of the first."""
    config = TrainConfig(patch=16, batch=6, lr=1e-3, decay=decay, device="cpu")  # type: ignore[arg-type]
    network = SuperNetwork(NETWORK, seeded())
    track: list[float] = []

    def look(_: int) -> None:
        track.append(float(network.out.bias[0].detach()))

    def far_off() -> Iterator[Batch]:
        for batch in watched(ready, 41, look):
            yield batch._replace(target_BCHW=torch.full_like(batch.target_BCHW, 9.0))

    list(train_dense(network, far_off(), 40, config, CPU))
    steps = [abs(b - a) for a, b in pairwise(track)]
    assert steps[0] == pytest.approx(1e-3, rel=0.01)
    assert steps[30] / steps[0] == pytest.approx(late, rel=0.2)


def test_the_gradient_is_clipped(ready: list[Batch]) -> None:
    """Adam divides by its own size of the gradient plus 1e-8: a gradient clipped far below that moves nothing."""
    config = TrainConfig(patch=16, batch=6, lr=1e-3, clip=1e-13, device="cpu")
    network = SuperNetwork(NETWORK, seeded())
    before = values(network)
    list(train_dense(network, ready[:3], 3, config, CPU))
    assert max(float((a - b).abs().max()) for a, b in zip(before, values(network), strict=True)) < 1e-6


def test_fine_tuning_moves_the_weights_alone(ready: list[Batch], held_out: Batch) -> None:
    settings = MethodConfig(min_channels=1, controller_hidden=8)
    model = MaskedNetwork(SHALLOW, settings, gamma=0.75, sharing=True, generator=seeded())
    quick_to_learn(model.supernet)
    model.freeze(some_tasks(seeded()))
    fixed = values(model.controller) + values(model.consensus) + [model.fixed_shared_N.clone()]
    weights, before = values(model.supernet), l1(model, held_out)
    reports = list(finetune(model, ready, len(ready), CONFIG, CPU))
    assert {r.phase for r in reports} == {"frozen"}
    assert same(fixed, values(model.controller) + values(model.consensus) + [model.fixed_shared_N])
    assert not same(weights, values(model.supernet))
    assert l1(model, held_out) < 0.95 * before


def test_fine_tuning_needs_a_frozen_architecture(ready: list[Batch]) -> None:
    with pytest.raises(RuntimeError, match="not frozen"):
        list(finetune(masked(), ready[:1], 1, CONFIG, CPU))


def test_a_dearer_flop_gives_a_cheaper_network(ready: list[Batch]) -> None:
    schedule = Schedule(iterations=100, warmup=0.05, specific=0.5, agnostic=0.9)
    ratios = []
    for lambda1 in (0.0, 1.0):
        model = masked()
        run_search(model, ready, objective(lambda1=lambda1), schedule)
        cost = effect_cost(model.architecture(GRID), 64, 64, 1)
        ratios.append((cost.shared + cost.specific) / cost.dense)
    assert ratios[0] > 0.5
    assert ratios[1] < 0.25 * ratios[0]


def test_devices() -> None:
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the test takes away")
def test_a_missing_cuda_device_is_said() -> None:
    with pytest.raises(ValueError, match="no CUDA device: use auto or cpu"):
        pick_device("cuda")


@pytest.mark.parametrize("until", [1, 3, 5], ids=["before", "while", "after the freeze"])
def test_a_search_suspended_and_resumed_is_the_same_to_the_last_bit(
    until: int, ready: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "REPORT_EVERY", 1)
    schedule = Schedule(iterations=8, warmup=0.125, specific=0.25, agnostic=0.5)
    whole, first, second = masked(), masked(), masked()
    list(search(whole, objective(), ready[:8], schedule, CONFIG, CPU, seeded(7)))
    begun = search(first, objective(), ready[:8], schedule, CONFIG, CPU, seeded(7))
    for _ in range(until):
        next(begun)
    kept = unpack(pack(begun.state()), Path("state"), "")
    rest = search(second, objective(), ready[until:8], schedule, CONFIG, CPU, seeded(7), resume=kept)
    assert [report.iteration for report in rest] == list(range(until + 1, 9))
    assert same(values(whole), values(second))
    assert whole.patterns([(0.2, 0.4, 0.6)]) == second.patterns([(0.2, 0.4, 0.6)])


def test_a_dense_training_suspended_and_resumed_is_the_same(
    ready: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "REPORT_EVERY", 1)
    whole, first, second = (SuperNetwork(NETWORK, seeded()) for _ in range(3))
    list(train_dense(whole, ready[:6], 6, CONFIG, CPU))
    begun = train_dense(first, ready[:6], 6, CONFIG, CPU)
    next(begun)
    next(begun)
    list(train_dense(second, ready[2:6], 6, CONFIG, CPU, resume=begun.state()))
    assert same(values(whole), values(second))
