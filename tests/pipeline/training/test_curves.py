"""A training's curve in the tracker: real steps, few enough points, the last one among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.tracking import open_tracker
from pipeline.training.curves import POINTS, Shown, curve_of
from tatsnet.method.training import Progress


def report(iteration: int, of: int) -> Progress:
    return Progress(iteration=iteration, iterations=of, phase="open", loss=1 / iteration, lr=1e-3, terms={"l1": 0.5})


@pytest.mark.parametrize(("iterations", "points"), [(100, 4), (25 * 1000, POINTS), (26 * 1000 + 7, POINTS)])
def test_a_long_training_is_thinned_and_ends_with_its_last_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, iterations: int, points: int
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker = open_tracker("tiny", tmp_path)
    run = tracker.start("pretrain", stage="pretrain")
    watch = curve_of(run, "train", iterations)
    for iteration in [*range(25, iterations, 25), iterations]:
        watch(report(iteration, iterations))
    tracker.find()  # waits until everything is sent
    history = tracker._client.get_metric_history(run.id, "train_loss")
    steps = [metric.step for metric in history]
    assert points / 2 < len(steps) <= points + 1
    assert steps == sorted(set(steps))
    assert steps[-1] == iterations
    assert [metric.value for metric in history] == [1 / step for step in steps]
    assert tracker.find()[0].metrics["train_lr"] == 1e-3


def test_another_process_shows_its_training_in_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker = open_tracker("tiny", tmp_path)
    run = tracker.start("finetune", stage="finetune")
    shown = Shown(root=tmp_path, experiment="tiny", run_id=run.id, name="train_0006")
    shown.watch(25)(report(25, 25))
    open_tracker("tiny", tmp_path).find()
    assert tracker.find()[0].metrics["train_0006_loss"] == 1 / 25
