"""The trainings: dense, search, and on with a frozen architecture. They yield metrics and write nothing.

A training can be suspended and resumed: on a CPU the rest is the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tatsnet.data.levels import draw_tasks
from tatsnet.data.pairs import Batch
from tatsnet.method.engine import Engine, Step, Terms, make_engine, pick_compute
from tatsnet.method.masked import CONSENSUS_TASKS, MaskedNetwork, Phase
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
        lr: the learning rate that it was taken with; the first group's where there are several.
        terms: its terms and what else is worth a curve.
    """

    iteration: int
    iterations: int
    phase: str
    loss: float
    lr: float
    terms: dict[str, float]


MODEL, OPTIMISER, ITERATION = "model.", "optimiser.", "iteration"
"""Names in a training's state."""


def _rate(config: TrainConfig, iterations: int) -> Callable[[int], float]:
    if config.decay == "half":
        return lambda step: 1.0 if step < iterations / 2 else 0.1
    return lambda step: 0.5 * (1 + math.cos(math.pi * min(step / iterations, 1.0)))


class Training(Iterator[Progress]):
    """A training under way: every item is a report, every REPORT_EVERY iterations and at the end.

    Args:
        phase: of an iteration; called once for each, in turn.
        loss: of a batch in a phase, and its terms.
        resume: the state of a training that was suspended.
        end: called when all is done.

    Attributes:
        iteration: finished iterations.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: list[dict[str, Any]],
        loss: Step,
        batches: Iterable[Batch],
        iterations: int,
        config: TrainConfig,
        device: torch.device,
        *,
        phase: Callable[[int], Phase],
        resume: Mapping[str, Tensor] | None = None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._model, self._loss, self._phase, self._end = model, loss, phase, end
        self._config = config
        self._parameters: list[nn.Parameter] = [p for group in groups for p in group["params"]]
        self._rates: list[float] = [group["lr"] for group in groups]
        self._on_gpu = device.type == "cuda"
        if self._on_gpu:  # a graph reads the rate where it lies
            groups = [{**group, "lr": torch.tensor(group["lr"], device=device)} for group in groups]
        self._optimiser = torch.optim.Adam(groups, fused=True, capturable=self._on_gpu)
        self._iterations = iterations
        self.iteration = 0
        if resume is not None:
            self._resume(resume)
        self._reports = self._run(make_engine(batches, self._step, device))

    def __next__(self) -> Progress:
        return next(self._reports)

    def _run(self, engine: Engine) -> Iterator[Progress]:
        rate = _rate(self._config, self._iterations)
        while self.iteration < self._iterations:
            self._lr = self._rates[0] * rate(self.iteration)
            for group, base in zip(self._optimiser.param_groups, self._rates, strict=True):
                self._set_rate(group, base * rate(self.iteration))
            phase = self._phase(self.iteration)
            loss, terms = engine(self.iteration, phase)
            self.iteration += 1
            if self.iteration % REPORT_EVERY == 0 or self.iteration == self._iterations:
                yield self._report(loss, terms, phase.value)
        self._end()

    def _set_rate(self, group: dict[str, Any], rate: float) -> None:
        if self._on_gpu:
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

    def _step(self, batch: Batch, phase: Phase) -> tuple[Tensor, Terms]:
        loss, terms = self._loss(batch, phase)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, self._config.clip)
        self._optimiser.step()
        return loss.detach(), terms

    def _report(self, loss: Tensor, terms: Terms, phase: str) -> Progress:
        value = float(loss)
        if not math.isfinite(value):
            raise Diverged(f"the loss became {value} at iteration {self.iteration} of {self._iterations}")
        numbers = {name: float(term) for name, term in terms.items()}
        return Progress(
            iteration=self.iteration,
            iterations=self._iterations,
            phase=phase,
            loss=value,
            lr=self._lr,
            terms=numbers,
        )

    def state(self) -> Tensors:
        """All that it takes to go on from here with `resume` and the batches from `iteration` on."""
        kept = {f"{MODEL}{name}": tensor for name, tensor in self._model.state_dict().items()}
        for index, moments in self._optimiser.state_dict()["state"].items():
            kept |= {f"{OPTIMISER}{index}.{name}": tensor for name, tensor in moments.items()}
        return {**kept, ITERATION: torch.tensor(self.iteration)}

    def _resume(self, state: Mapping[str, Tensor]) -> None:
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
        resume: the state of a training that was suspended.

    Raises:
        Diverged: the loss is not finite.
    """
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    compute = pick_compute(config, device)

    def loss(batch: Batch, phase: Phase) -> tuple[Tensor, Terms]:
        l1 = (network(batch.input_BCHW, batch.task_BD, compute=compute) - batch.target_BCHW).abs().mean()
        return l1, {"l1": l1.detach()}

    groups: list[dict[str, Any]] = [{"params": list(network.parameters()), "lr": config.lr}]
    return Training(
        network, groups, loss, batches, iterations, config, device, phase=lambda _: Phase.OPEN, resume=resume
    )


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


def freeze(model: MaskedNetwork, objective: Objective, config: TrainConfig, generator: torch.Generator) -> None:
    """Freeze the architecture, if it is not yet, by tasks drawn as the training draws them."""
    if not model.is_frozen:
        relative, sampling = objective.variant.relative, config.sampling
        model.freeze(draw_tasks(CONSENSUS_TASKS, relative=relative, sampling=sampling, generator=generator))


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
        resume: the state of a search that was suspended.

    Raises:
        Diverged: the loss is not finite.
    """
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    cost = CostModel(model.network, device)
    sharing = model.searches_sharing or bool(model.fixed_shared_N.any())

    compute = pick_compute(config, device)

    def phase(iteration: int) -> Phase:
        now = phase_at(iteration, schedule, sharing)
        if now is Phase.FROZEN and (iteration == 0 or phase_at(iteration - 1, schedule, sharing) is not now):
            freeze(model, objective, config, generator)
        return now

    def loss(batch: Batch, phase: Phase) -> tuple[Tensor, Terms]:
        if phase is Phase.OPEN:
            l1 = (model.supernet(batch.input_BCHW, batch.task_BD, compute=compute) - batch.target_BCHW).abs().mean()
            return l1, {"l1": l1.detach()}
        gates = model.gates(batch.task_BD, phase)
        restored = model.supernet(batch.input_BCHW, batch.task_BD, gates.effective_BNC, gates.shared_N, compute)
        terms = search_loss(objective, restored, batch.target_BCHW, gates, cost, model.method.effects)
        total = terms.l1 if phase is Phase.FROZEN else terms.total
        shown = {"l1": terms.l1, "r1": terms.r1, "r2": terms.r2, "shared_points": gates.shared_N.sum()}
        return total, {name: term.detach() for name, term in shown.items()}

    groups: list[dict[str, Any]] = [
        {"params": list(model.supernet.parameters()), "lr": config.lr},
        {"params": list(model.controller.parameters()), "lr": config.controller_lr},
    ]

    def end() -> None:
        freeze(model, objective, config, generator)

    training = Training(
        model, groups, loss, batches, schedule.iterations, config, device, phase=phase, resume=resume, end=end
    )
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
        resume: the state of a training that was suspended.

    Raises:
        Diverged: the loss is not finite.
        RuntimeError: the architecture is not frozen yet.
    """
    model.require_frozen()
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    compute = pick_compute(config, device)

    def loss(batch: Batch, phase: Phase) -> tuple[Tensor, Terms]:
        gates = model.gates(batch.task_BD, phase)
        restored = model.supernet(batch.input_BCHW, batch.task_BD, gates.effective_BNC, gates.shared_N, compute)
        l1 = (restored - batch.target_BCHW).abs().mean()
        return l1, {"l1": l1.detach()}

    groups: list[dict[str, Any]] = [{"params": list(model.supernet.parameters()), "lr": config.lr}]
    return Training(
        model, groups, loss, batches, iterations, config, device, phase=lambda _: Phase.FROZEN, resume=resume
    )
