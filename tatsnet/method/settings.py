"""How a network is trained and searched: frozen, validated, shared by the library and the pipeline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tatsnet.data.levels import Sampling


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _positive(name: str, value: float) -> None:
    _require(math.isfinite(value) and value > 0, f"{name} must be a finite number above 0, got {value}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How every training samples and steps (paper section 7.3: patch 64, batch 64, lr 1e-4, decay at the half).

    Args:
        patch: side of a training patch, pixels, even.
        batch: patches per iteration.
        lr: Adam's learning rate for the super network.
        controller_lr: Adam's learning rate for the architecture controller.
        decay: `half` multiplies the rates by 0.1 at half of the training, `cosine` takes them to 0.
        clip: largest norm of the gradient.
        workers: processes that prepare batches; 0 prepares them in the training process.
        threads: CPU threads of one training; 0 is PyTorch's own choice. More threads than idle cores are slower
            than one.
        device: `auto` takes a CUDA device where there is one.
        precision: of the convolutions; `auto` is bfloat16 where the device is faster in it. Parameters,
            gates, regularisers, optimiser and the last addition are float32 in any case.
        compile: blocks are compiled on a CUDA device in bfloat16; it takes a minute and a C compiler.
        sampling: of degradations; `mixed` draws each type by itself, `paper` takes its three distributions in turn.
        seed: of the weights and the batches.

    Raises:
        ValueError: a value out of its range.
    """

    patch: int = 64
    batch: int = 64
    lr: float = 1e-4
    controller_lr: float = 1e-4
    decay: Literal["cosine", "half"] = "half"
    clip: float = 1.0
    workers: int = 0
    threads: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = True
    sampling: Sampling = "mixed"
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.patch >= 8 and self.patch % 2 == 0, f"patch must be even and at least 8, got {self.patch}")
        _require(self.batch >= 1, f"batch must be at least 1, got {self.batch}")
        _require(self.workers >= 0, f"workers must be at least 0, got {self.workers}")
        _require(self.threads >= 0, f"threads must be at least 0, got {self.threads}")
        _require(self.seed >= 0, f"seed must be at least 0, got {self.seed}")
        _require(self.decay in ("cosine", "half"), f"decay must be cosine or half, got {self.decay!r}")
        _require(self.device in ("auto", "cpu", "cuda"), f"device must be auto, cpu or cuda, got {self.device!r}")
        for name, of in (("precision", ("auto", "float32", "bfloat16")), ("sampling", ("mixed", "paper"))):
            value = getattr(self, name)
            _require(value in of, f"{name} must be one of {', '.join(of)}, got {value!r}")
        for name in ("lr", "controller_lr", "clip"):
            _positive(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The phases of one search trial, as shares of its iterations that grow from 0 to 1.

    Args:
        iterations: of the whole trial.
        warmup: up to here gates are forced open.
        specific: up to here task-specific pruning alone, nothing is shared.
        agnostic: up to here both prunings; after it the architecture is frozen and the weights train on.

    Raises:
        ValueError: not 0 <= warmup <= specific <= agnostic <= 1, or no iteration.
    """

    iterations: int = 1_000_000
    warmup: float = 0.05
    specific: float = 0.3
    agnostic: float = 0.7

    def __post_init__(self) -> None:
        _require(self.iterations >= 1, f"iterations must be at least 1, got {self.iterations}")
        shares = (self.warmup, self.specific, self.agnostic)
        _require(
            all(math.isfinite(share) for share in shares) and 0 <= shares[0] <= shares[1] <= shares[2] <= 1,
            f"phases must grow: 0 <= warmup <= specific <= agnostic <= 1, got {shares}",
        )


@dataclass(frozen=True, kw_only=True)
class GateRule:
    """How preferences become gates: what of the method a found network still needs for a new task vector.

    Args:
        min_channels: channels kept at every selection point, whatever the gates say; rounded up to whole groups.
        prune: False keeps every channel (Table 3).
        group: channels open and close in runs of so many, by their mean preference; 1 is the paper's. It must divide
            the network's width.
        tied: True keeps one set of the skip stream's channels per section (the shared part; the task-specific part of
            one task), so that no convolution gathers channels; False, the paper's, selects at every point alone.

    Raises:
        ValueError: a value out of its range.
    """

    min_channels: int = 8
    prune: bool = True
    group: int = 1
    tied: bool = False

    def __post_init__(self) -> None:
        _require(self.min_channels >= 0, f"min_channels must be at least 0, got {self.min_channels}")
        _require(self.group >= 1, f"group must be at least 1, got {self.group}")

    @property
    def least_groups(self) -> int:
        """Groups kept at every selection point, whatever the gates say."""
        return -(-self.min_channels // self.group)

    @property
    def least_channels(self) -> int:
        """Channels kept at every selection point, whatever the gates say: `min_channels` in whole groups."""
        return self.least_groups * self.group


@dataclass(frozen=True, kw_only=True)
class MethodConfig(GateRule):
    """What the search method leaves open (DESIGN of the method: docs/method.md); the gates' rule is a part of it.

    Args:
        effects: M of eq. 4, the number of effects over which the shared part's cost is spread.
        ema: weight of the new batch in eq. 7 and 9.
        controller_hidden: width of the controller's two hidden layers.
        specific_points: the last so many selection points stay task-specific whatever the tasks agree on, so that the
            sliders keep something to move; 0 is the paper's.
        shared_points: a fixed number of shared selection points in place of eq. 8-10 (Table 3); None searches.

    Raises:
        ValueError: a value out of its range.
    """

    effects: int = 27
    ema: float = 0.1
    controller_hidden: int = 64
    specific_points: int = 0
    shared_points: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.effects >= 1, f"effects must be at least 1, got {self.effects}")
        _require(0 < self.ema <= 1, f"ema must be in (0, 1], got {self.ema}")
        _require(self.controller_hidden >= 1, f"controller_hidden must be at least 1, got {self.controller_hidden}")
        _require(self.specific_points >= 0, f"specific_points must be at least 0, got {self.specific_points}")
        _require(
            self.shared_points is None or self.shared_points >= 0,
            f"shared_points must be at least 0 or null, got {self.shared_points}",
        )
