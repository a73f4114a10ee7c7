from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipeline.common.layout import SHEET
from pipeline.search.study.space import Point
from pipeline.search.trial.trial import (
    REFERENCE_SIDE,
    Trial,
    dead_points,
    latency_figures,
    trial_key,
)
from tatsnet.data.degradation import GRID
from tatsnet.method import training
from tatsnet.method.checkpoint import load_masked, read_extra
from tatsnet.method.training import Diverged
from tatsnet.network.architecture import Architecture, NetworkConfig, gather
from tatsnet.network.flops import effect_cost
from tatsnet.quality.control import measure_control
from tatsnet.quality.evaluation import oracle_psnr
from tatsnet.timing.latency_model import LatencyTable
from tests.pipeline.search.jobs import make_job
from tests.tatsnet.networks import some_tasks

NETWORK = NetworkConfig(width=8, blocks=2)
TABLE = LatencyTable(
    device="a processor",
    runtime="torch",
    threads=1,
    size=(64, 48),
    width=8,
    grid=(1, 8),
    head_ms=(1.0, 3.0),
    block_ms=((1.0, 2.0), (2.0, 4.0)),
    end_ms=((2.0, 4.0), (3.0, 6.0)),
    last_ms=(1.0, 2.0),
    some_ms=(0.0, 0.0, 0.0),
    image_ms=0.5,
    effect_ms=0.25,
)


def thin(shared: int) -> Architecture:
    """One channel everywhere."""
    return gather(NETWORK, shared, [(GRID[0], ((0,),) * NETWORK.points)])


POINT = Point(variant="TA+TSNet", lambda1=1e-3, lambda2=1e-2, gamma=0.9)


class TestKey:
    def test_the_same_study_point_and_seed_are_the_same_trial(self) -> None:
        assert trial_key("study", 0, POINT, 3) == trial_key("study", 0, replace(POINT), 3)

    @pytest.mark.parametrize(
        ("study", "number", "point", "seed"),
        [
            ("other", 0, POINT, 3),
            ("study", 1, POINT, 3),
            ("study", 0, replace(POINT, variant="TA+TSNet-m"), 3),
            ("study", 0, replace(POINT, lambda1=1.0000001e-3), 3),
            ("study", 0, replace(POINT, lambda2=2e-2), 3),
            ("study", 0, replace(POINT, gamma=0.91), 3),
            ("study", 0, POINT, 4),
        ],
        ids=["study", "number", "variant", "lambda1", "lambda2", "gamma", "seed"],
    )
    def test_every_part_makes_another_trial(self, study: str, number: int, point: Point, seed: int) -> None:
        assert trial_key(study, number, point, seed) != trial_key("study", 0, POINT, 3)

    def test_a_key_can_be_a_folder_s_name(self) -> None:
        assert trial_key("study", 0, POINT, 3).isalnum()


class TestDeadPoints:
    A, B, C = (0, 1, 2), (0, 1), (3,)

    @pytest.mark.parametrize(
        ("patterns", "floor", "dead"),
        [
            (((A, B, C),), 2, 2),
            (((A, B, C),), 0, 0),
            (((A, B, C),), 1, 1),
            (((A, B, C),), 3, 3),
            (((A, B, C), (B, B, A)), 2, 1),
            (((A, A), (B, C)), 2, 0),
            ((((), ()), ((), C)), 0, 1),
        ],
    )
    def test_a_point_is_dead_when_no_pattern_opens_it_beyond_the_floor(
        self, patterns: tuple[tuple[tuple[int, ...], ...], ...], floor: int, dead: int
    ) -> None:
        assert dead_points(patterns, floor) == dead


class TestLatencyFigures:
    def test_without_a_table_there_are_none(self) -> None:
        assert latency_figures(None, thin(0)) == {}

    def test_milliseconds_and_their_share_of_dense_by_one_table(self) -> None:
        """A thin network's 3 + 2 x 1 ms of 9 + 2 x 4, and 0.5 + 0.25 ms beside the layers of each."""
        found = latency_figures(TABLE, thin(0))
        assert found["latency_ms"] == pytest.approx(0.5 / 27 + 0.25 + 5)
        assert found["latency_ratio_m27"] == pytest.approx(found["latency_ms"] / (0.5 + 0.25 + 17))

    def test_sharing_makes_an_effect_faster(self) -> None:
        assert latency_figures(TABLE, thin(9))["latency_ms"] == pytest.approx((0.5 + 5) / 27 + 0.25)


@pytest.fixture(scope="module")
def trained() -> Trial:
    trial = Trial(make_job(), POINT, seed=0)
    for _ in iter(trial.advance, None):
        pass
    return trial


@pytest.fixture(scope="module")
def measured(trained: Trial) -> dict[str, Any]:
    return trained.measure()


class TestTrial:
    def test_it_starts_from_the_warm_weights(self) -> None:
        job = make_job()
        started = Trial(job, POINT, seed=5).model.supernet.state_dict()
        assert all(torch.equal(started[name], weight) for name, weight in job.warm.items())

    def test_it_reports_up_to_its_last_iteration_and_ends_frozen(self) -> None:
        trial = Trial(make_job(), POINT, seed=0)
        reports = list(iter(trial.advance, None))
        assert reports[-1].iteration == reports[-1].iterations == 30
        assert trial.model.is_frozen
        assert trial.advance() is None

    def test_training_leaves_the_job_s_weights_alone(self) -> None:
        job = make_job()
        before = {name: weight.clone() for name, weight in job.warm.items()}
        trial = Trial(job, POINT, seed=0)
        for _ in iter(trial.advance, None):
            pass
        assert all(torch.equal(before[name], weight) for name, weight in job.warm.items())
        moved = trial.model.supernet.state_dict()
        assert any(not torch.equal(before[name], moved[name]) for name in before)

    def test_the_same_seed_finds_the_same_network(self, trained: Trial) -> None:
        again = Trial(make_job(), POINT, seed=0)
        for _ in iter(again.advance, None):
            pass
        assert again.model.patterns(GRID) == trained.model.patterns(GRID)
        first, second = trained.model.state_dict(), again.model.state_dict()
        assert all(torch.allclose(first[name].float(), second[name].float(), atol=1e-6) for name in first)

    def test_a_loss_that_is_not_finite_ends_it_with_the_reason(self) -> None:
        job = make_job()
        trial = Trial(replace(job, train=replace(job.train, lr=1e30, clip=1e30)), POINT, seed=0)
        with pytest.raises(Diverged, match="loss"):
            for _ in iter(trial.advance, None):
                pass

    def test_its_figures_are_those_of_its_network(self, trained: Trial, measured: dict[str, Any]) -> None:
        architecture = trained.model.architecture(GRID)
        for m in (1, 27):
            ratio = effect_cost(architecture, REFERENCE_SIDE, REFERENCE_SIDE, m).ratio
            assert measured[f"flops_ratio_m{m}"] == ratio
        assert 0 < measured["flops_ratio_m27"] <= measured["flops_ratio_m1"] <= 1.01
        assert measured["shared_layers_pct"] == architecture.shared_percent
        assert measured["patterns"] == len(architecture.patterns)
        assert measured["dead_points"] == dead_points(architecture.patterns, trained.job.method.least_channels)
        assert measured["psnr_db"] == oracle_psnr(trained.model, trained.job.valid, torch.device("cpu"))
        obeys = measure_control(trained.model, trained.job.valid, torch.device("cpu"))
        assert measured["gain_db"] == obeys.gain_db
        assert measured["control"] == obeys.shares(trained.job.dense)
        assert measured["weakest_slider"] == min(measured["control"].values())
        assert measured["off_rms"] == 0

    def test_device_hours_are_seconds_times_its_devices(self, measured: dict[str, Any], trained: Trial) -> None:
        assert measured["device_hours"] == pytest.approx(measured["seconds"] / 3600)
        gpu = Trial(replace(trained.job, gpus=0.5, cpus=4.0), POINT, seed=0)
        gpu.model.freeze(some_tasks(torch.Generator().manual_seed(0)))
        figures = gpu.measure()
        assert figures["device_hours"] == pytest.approx(0.5 * figures["seconds"] / 3600)

    @pytest.mark.parametrize("reports", [1, 2, 3])
    def test_put_down_and_taken_up_it_finds_the_same_network_to_the_last_bit(
        self, monkeypatch: pytest.MonkeyPatch, reports: int
    ) -> None:
        monkeypatch.setattr(training, "REPORT_EVERY", 8)
        whole, begun = (Trial(make_job(), POINT, seed=0) for _ in range(2))
        for _ in range(reports):
            begun.advance()
        begun.score()
        seconds, resumed = begun.seconds, Trial(make_job(), POINT, 0, begun.checkpoint())
        assert resumed.iteration == 8 * reports
        assert resumed.seconds > seconds > 0
        for trial in (whole, resumed):
            for _ in iter(trial.advance, None):
                pass
        first, second = whole.model.state_dict(), resumed.model.state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert whole.measure()["psnr_db"] == resumed.measure()["psnr_db"]

    def test_a_damaged_checkpoint_is_refused(self) -> None:
        with pytest.raises(ValueError, match="begins anew"):
            Trial(make_job(), POINT, 0, Trial(make_job(), POINT, 0).checkpoint()[:-100])

    def test_a_pickle_as_checkpoint_is_refused_and_not_run(self, tmp_path: Path) -> None:
        class Attack:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (tmp_path / "ran",)

        with pytest.raises(ValueError, match="begins anew"):
            Trial(make_job(), POINT, 0, pickle.dumps({"model": Attack()}))
        assert not (tmp_path / "ran").exists()
        pickle.loads(pickle.dumps(Attack()))
        assert (tmp_path / "ran").exists(), "the attack is a real one"

    def test_at_its_end_it_scores_what_it_measures(self, trained: Trial, measured: dict[str, Any]) -> None:
        assert trained.score() == {name: measured[name] for name in ("psnr_db", "flops_ratio_m27")}

    @pytest.mark.parametrize("variant", ["TSNet", "TSNet-m"])
    def test_what_shares_nothing_ends_with_nothing_shared(self, variant: str) -> None:
        trial = Trial(make_job(), replace(POINT, variant=variant, lambda2=0.0), seed=0)
        for _ in iter(trial.advance, None):
            pass
        assert trial.measure()["shared_layers_pct"] == 0

    def test_what_it_saves_is_the_network_that_it_measured(
        self, trained: Trial, measured: dict[str, Any], tmp_path: Path
    ) -> None:
        trained.save(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"weights.safetensors", "architecture.json", SHEET}
        loaded = load_masked(tmp_path / "weights.safetensors").eval()
        assert loaded.patterns(GRID) == trained.model.patterns(GRID)
        assert oracle_psnr(loaded, trained.job.valid, torch.device("cpu")) == measured["psnr_db"]
        text = (tmp_path / "architecture.json").read_text(encoding="utf-8")
        assert Architecture.from_json(json.loads(text)) == trained.model.architecture(GRID)
        assert read_extra(tmp_path / "weights.safetensors") == {"variant": POINT.variant}
        with Image.open(tmp_path / SHEET) as sheet:
            assert sheet.size == (10 * 26 - 2, 3 * 26 - 2), "ten details of 24 pixels by three"
