"""The trainings: dense, search, and on with a frozen architecture. They yield metrics and write nothing.

A training can be put down and taken up again: on a CPU the rest is the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tatsnet.data.pairs import Batch
from tatsnet.method.masked import MaskedNetwork, Phase
from tatsnet.method.objective import Objective, search_loss
from tatsnet.method.settings import Schedule, TrainConfig
from tatsnet.network.flops import CostModel
from tatsnet.network.supernet import SuperNetwork
from tatsnet.system.files import Tensors

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


MODEL, OPTIMISER, ITERATION = "model.", "optimiser.", "iteration"
"""Names in a training's state."""

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


class Training(Iterator[Progress]):
    """A training under way: every item is a report, every REPORT_EVERY iterations and at the end.

    Attributes:
        iteration: finished iterations.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: list[dict[str, Any]],
        step: Step,
        batches: Iterable[Batch],
        iterations: int,
        config: TrainConfig,
        device: torch.device,
        resume: Mapping[str, Tensor] | None = None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._model, self._step, self._end = model, step, end
        self._config, self._device = config, device
        self._parameters: list[nn.Parameter] = [p for group in groups for p in group["params"]]
        self._rates: list[float] = [group["lr"] for group in groups]
        self._optimiser = torch.optim.Adam(groups, fused=True)
        self._iterations = iterations
        self.iteration = 0
        if resume is not None:
            self._take_up(resume)
        self._reports = self._run(batches)

    def __next__(self) -> Progress:
        return next(self._reports)

    def _run(self, batches: Iterable[Batch]) -> Iterator[Progress]:
        rate = _rate(self._config, self._iterations)
        for batch in batches:
            for group, base in zip(self._optimiser.param_groups, self._rates, strict=True):
                group["lr"] = base * rate(self.iteration)
            loss, terms, phase = self._step(batch.to(self._device), self.iteration)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._parameters, self._config.clip)
            self._optimiser.step()
            self.iteration += 1
            if self.iteration % REPORT_EVERY == 0 or self.iteration == self._iterations:
                yield self._report(loss, terms, phase)
        self._end()

    def _report(self, loss: Tensor, terms: Terms, phase: str) -> Progress:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise Diverged(f"the loss became {value} at iteration {self.iteration} of {self._iterations}")
        numbers = {name: float(term) for name, term in terms.items()}
        return Progress(iteration=self.iteration, iterations=self._iterations, phase=phase, loss=value, terms=numbers)

    def state(self) -> Tensors:
        """All that it takes to go on from here with `resume` and the batches from `iteration` on."""
        kept = {f"{MODEL}{name}": tensor for name, tensor in self._model.state_dict().items()}
        for index, moments in self._optimiser.state_dict()["state"].items():
            kept |= {f"{OPTIMISER}{index}.{name}": tensor for name, tensor in moments.items()}
        return {**kept, ITERATION: torch.tensor(self.iteration)}

    def _take_up(self, state: Mapping[str, Tensor]) -> None:
        self._model.load_state_dict(
            {name.removeprefix(MODEL): t for name, t in state.items() if name.startswith(MODEL)}
        )
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            if name.startswith(OPTIMISER):
                index, kind = name.removeprefix(OPTIMISER).split(".")
                like = self._parameters[int(index)]  # Adam reads them side by side, in the parameter's memory format
                own = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
                moments.setdefault(int(index), {})[kind] = own
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": moments})
        self.iteration = int(state[ITERATION])


def train_dense(
    network: SuperNetwork,
    batches: Iterable[Batch],
    iterations: int,
    config: TrainConfig,
    device: torch.device,
    resume: Mapping[str, Tensor] | None = None,
) -> Training:
    """Train the super network whole, by L1 alone: the CResMD baseline and the trials' warm start.

    Args:
        batches: from the first iteration that is still to do.
        resume: the state of a training that was put down.

    Raises:
        Diverged: the loss is not finite.
    """
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def step(batch: Batch, iteration: int) -> tuple[Tensor, Terms, str]:
        loss = (network(batch.input_BCHW, batch.task_BD) - batch.target_BCHW).abs().mean()
        return loss, {"l1": loss.detach()}, Phase.OPEN.value

    groups: list[dict[str, Any]] = [{"params": list(network.parameters()), "lr": config.lr}]
    return Training(network, groups, step, batches, iterations, config, device, resume)


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
    resume: Mapping[str, Tensor] | None = None,
) -> Training:
    """One search trial (eq. 11) through its phases; the model ends frozen.

    Args:
        batches: from the first iteration that is still to do.
        generator: as it was at the start, for a training that goes on too: it draws when the architecture freezes.
        resume: the state of a search that was put down.

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

    groups: list[dict[str, Any]] = [
        {"params": list(model.supernet.parameters()), "lr": config.lr},
        {"params": list(model.controller.parameters()), "lr": config.controller_lr},
    ]

    def end() -> None:
        if not model.is_frozen:
            model.freeze(generator)

    training = Training(model, groups, step, batches, schedule.iterations, config, device, resume, end)
    model.controller.requires_grad_(not bool(model.is_frozen))
    return training


def finetune(
    model: MaskedNetwork,
    batches: Iterable[Batch],
    iterations: int,
    config: TrainConfig,
    device: torch.device,
    resume: Mapping[str, Tensor] | None = None,
) -> Training:
    """Train a frozen architecture's weights further, by L1 alone.

    Args:
        batches: from the first iteration that is still to do.
        resume: the state of a training that was put down.

    Raises:
        Diverged: the loss is not finite.
    """
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def step(batch: Batch, iteration: int) -> tuple[Tensor, Terms, str]:
        loss = (model(batch.input_BCHW, batch.task_BD) - batch.target_BCHW).abs().mean()
        return loss, {"l1": loss.detach()}, Phase.FROZEN.value

    groups: list[dict[str, Any]] = [{"params": list(model.supernet.parameters()), "lr": config.lr}]
    return Training(model, groups, step, batches, iterations, config, device, resume)
