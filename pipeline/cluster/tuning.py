"""Ray Tune as searches and trainings use it: work in order, on given resources, in processes that are used again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.exceptions import OutOfMemoryError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from pipeline.cluster.watch import Watch
from pipeline.common.errors import UserError
from pipeline.common.progress import say
from pipeline.config import Resources

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


class InOrder(FIFOScheduler):
    """Work in the order of its `number`.

    Args:
        watch: is shown Tune's controller.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        super().__init__()
        self._watch = watch

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the copies that Tune pickles and nobody reads."""
        return {}

    def on_trial_add(self, tune_controller: TuneController, trial: TuneTrial) -> None:
        """The first of all that Tune lets one see of itself."""
        if self._watch:
            self._watch.controller = tune_controller

    def choose_trial_to_run(self, tune_controller: TuneController) -> TuneTrial | None:
        """The first that waits: Tune's own choice, without a look at every trial that has ended."""
        waiting = [trial for trial in tune_controller.get_live_trials() if trial.status == TuneTrial.PENDING]
        return min(waiting, key=lambda trial: trial.config["number"], default=None)


class Losses(tune.Callback):
    """Tells in one line of work whose worker or node died, and that is tried again.

    Args:
        what: the work is, as `search  trial`.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Tune hands it out again."""
        say(
            f"{self._what} {trial.config['number']} has lost its worker; it goes on from its last checkpoint on another"
        )


def make_tuner(
    trainable: Any,
    resources: Resources,
    records: Path,
    scheduler: InOrder,
    watch: Watch,
    what: str,
    *,
    searcher: Searcher | None = None,
    space: Mapping[str, Any] | None = None,
    callbacks: Sequence[tune.Callback] = (),
) -> tune.Tuner:
    """A tuner.

    Args:
        trainable: a class; its results are those of `Stretches`.
        resources: of each piece of work.
        records: folder of Tune's own records, which are never read again.
        what: the work is, as `search  trial`.
        searcher: gives the work; or
        space: of which all is done.
    """
    limited = searcher and tune.search.ConcurrencyLimiter(searcher, max_concurrent=resources.concurrent)
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}),
        param_space=dict(space or {}),
        tune_config=tune.TuneConfig(
            search_alg=limited,
            scheduler=scheduler,
            num_samples=-1 if searcher else 1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(records.resolve()),
            verbose=0,
            stop=watch,
            callbacks=[*callbacks, Losses(what)],
            failure_config=tune.FailureConfig(max_failures=resources.max_failures),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            log_to_file=False,
        ),
    )


def fit(tuner: tune.Tuner) -> None:
    """Do all the work.

    Raises:
        UserError: Ray has killed workers because a node was short of memory, which Tune does not survive.
    """
    try:
        tuner.fit()
    except RuntimeError as error:
        if isinstance(error.__cause__, OutOfMemoryError):
            raise UserError(
                "a node ran out of memory, and Ray has killed its workers: lower search.resources.concurrent, raise "
                "cpus_per_trial so that fewer share a node, or end what else fills its memory; the same command goes "
                "on from the last checkpoints"
            ) from error
        raise


def idle(what: str, resources: Resources) -> Callable[[], None]:
    """Tells that nothing runs, and of what is asked for and there.

    Args:
        what: is to run, as `search  no trial`.
    """

    def tell() -> None:
        have = ray.cluster_resources()
        cpus, gpus = have.get("CPU", 0.0), have.get("GPU", 0.0)
        say(
            f"{what} runs: each asks one node for {resources.cpus_per_trial:g} CPU and "
            f"{resources.gpus_per_trial:g} GPU, all nodes have {cpus:g} and {gpus:g}; waits for nodes to come"
        )

    return tell


def last_words(trial: TuneTrial) -> str:
    """What a worker died of: the last line of the traceback that Tune wrote down; empty without one."""
    file = Path(trial.error_file) if trial.error_file else None
    text = file.read_text(encoding="utf-8") if file and file.exists() else ""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    return said[-1][:500] if said else ""
