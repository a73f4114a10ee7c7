"""The trainings: dense, search, and on with a frozen architecture. They yield metrics and write nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tatsnet.cost import CostModel
from tatsnet.data import Batch
from tatsnet.masked import MaskedNetwork, Phase
from tatsnet.objective import Objective, search_loss
from tatsnet.settings import Schedule, TrainConfig
from tatsnet.supernet import SuperNetwork

REPORT_EVERY = 25
"""Iterations between two yielded reports; the loss is looked at only then, so that a GPU is not held up."""


class Diverged(RuntimeError):
    """A loss that is no longer a finite number."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One report of a training.

    Attributes:
        iteration: finished iterations.
        iterations: of the whole training.
        phase: what the steps do to the architecture.
        loss: the objective at this iteration.
        terms: its terms and what else is worth a curve.
    """

    iteration: int
    iterations: int
    phase: str
    loss: float
    terms: dict[str, float]


Terms = dict[str, Tensor]
Step = Callable[[Batch, int], tuple[Tensor, Terms, str]]


def pick_device(wanted: str) -> torch.device:
    """The device of a training.

    Raises:
        ValueError: CUDA is asked for and not there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("train.device is cuda, but this machine has no CUDA device: use auto or cpu")
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def _rate(config: TrainConfig, iterations: int) -> Callable[[int], float]:
    if config.decay == "half":
        return lambda step: 1.0 if step < iterations / 2 else 0.1
    return lambda step: 0.5 * (1 + math.cos(math.pi * min(step / iterations, 1.0)))


def _fit(
    groups: list[dict[str, object]],
    step: Step,
    batches: Iterable[Batch],
    iterations: int,
    config: TrainConfig,
    device: torch.device,
) -> Iterator[Progress]:
    parameters = [p for group in groups for p in group["params"]]  # type: ignore[attr-defined]
    optimiser = torch.optim.Adam(groups, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate(config, iterations))
    for iteration, batch in enumerate(batches):
        loss, terms, phase = step(batch.to(device), iteration)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, config.clip)
        optimiser.step()
        schedule.step()
        if (iteration + 1) % REPORT_EVERY == 0 or iteration + 1 == iterations:
            value = float(loss.detach())
            if not math.isfinite(value):
                raise Diverged(f"the loss became {value} at iteration {iteration + 1} of {iterations}")
            numbers = {name: float(term) for name, term in terms.items()}
            yield Progress(iteration=iteration + 1, iterations=iterations, phase=phase, loss=value, terms=numbers)


def train_dense(
    network: SuperNetwork, batches: Iterable[Batch], iterations: int, config: TrainConfig, device: torch.device
) -> Iterator[Progress]:
    """Train the super network whole, by L1 alone: the CResMD baseline and the trials' warm start.

    Raises:
        Diverged: the loss is not finite.
    """
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def step(batch: Batch, iteration: int) -> tuple[Tensor, Terms, str]:
        loss = (network(batch.input_BCHW, batch.task_BD) - batch.target_BCHW).abs().mean()
        return loss, {"l1": loss.detach()}, Phase.OPEN.value

    groups: list[dict[str, object]] = [{"params": list(network.parameters()), "lr": config.lr}]
    return _fit(groups, step, batches, iterations, config, device)


def phase_at(iteration: int, schedule: Schedule, sharing: bool) -> Phase:
    """The phase of an iteration (0-based); a variant that shares nothing has no JOINT phase."""
    share = iteration / schedule.iterations
    if share < schedule.warmup:
        return Phase.OPEN
    if share < schedule.specific:
        return Phase.SPECIFIC
    if share < schedule.agnostic:
        return Phase.JOINT if sharing else Phase.SPECIFIC
    return Phase.FROZEN


def search(
    model: MaskedNetwork,
    objective: Objective,
    batches: Iterable[Batch],
    schedule: Schedule,
    config: TrainConfig,
    device: torch.device,
    generator: torch.Generator,
) -> Iterator[Progress]:
    """One search trial (eq. 11) through its phases; the model ends frozen.

    Raises:
        Diverged: the loss is not finite.
    """
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    cost = CostModel(model.network, device)
    sharing = model.searches_sharing or bool(model.fixed_shared_N.any())

    def step(batch: Batch, iteration: int) -> tuple[Tensor, Terms, str]:
        phase = phase_at(iteration, schedule, sharing)
        if phase is Phase.OPEN:
            loss = (model.supernet(batch.input_BCHW, batch.task_BD) - batch.target_BCHW).abs().mean()
            return loss, {"l1": loss.detach()}, phase.value
        if phase is Phase.FROZEN and not model.is_frozen:
            model.freeze(generator)
        gates = model.gates(batch.task_BD, phase)
        restored = model.supernet(batch.input_BCHW, batch.task_BD, gates.effective_BNC, gates.shared_N)
        terms = search_loss(objective, restored, batch.target_BCHW, gates, cost, model.method.effects)
        total = terms.l1 if phase is Phase.FROZEN else terms.total
        shown = {"l1": terms.l1, "r1": terms.r1, "r2": terms.r2, "shared_points": gates.shared_N.sum()}
        return total, {name: term.detach() for name, term in shown.items()}, phase.value

    groups: list[dict[str, object]] = [
        {"params": list(model.supernet.parameters()), "lr": config.lr},
        {"params": list(model.controller.parameters()), "lr": config.controller_lr},
    ]
    yield from _fit(groups, step, batches, schedule.iterations, config, device)
    if not model.is_frozen:
        model.freeze(generator)


def finetune(
    model: MaskedNetwork, batches: Iterable[Batch], iterations: int, config: TrainConfig, device: torch.device
) -> Iterator[Progress]:
    """Train a frozen architecture's weights further, by L1 alone.

    Raises:
        Diverged: the loss is not finite.
    """
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def step(batch: Batch, iteration: int) -> tuple[Tensor, Terms, str]:
        loss = (model(batch.input_BCHW, batch.task_BD) - batch.target_BCHW).abs().mean()
        return loss, {"l1": loss.detach()}, Phase.FROZEN.value

    groups: list[dict[str, object]] = [{"params": list(model.supernet.parameters()), "lr": config.lr}]
    return _fit(groups, step, batches, iterations, config, device)
