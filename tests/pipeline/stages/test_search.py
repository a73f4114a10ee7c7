"""What stands around the runner: whose study it is, what a worker gets, what the terminal shows, what is handed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from pipeline.cluster.store import Store
from pipeline.common.layout import CLEAN, FIGURES, SUPERNET, TRIALS, TRIALS_FILE, WEIGHTS
from pipeline.search.driver.results import collect
from pipeline.search.study.identity import study_key
from pipeline.search.study.ledger import Ledger
from pipeline.search.trial.job import make_job
from pipeline.stages import degrade
from pipeline.stages.search import recorded_latency
from tatsnet.method.checkpoint import save_dense
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.supernet import SuperNetwork
from tatsnet.quality.control import Control
from tatsnet.timing.latency_model import dense_ms
from tests.pipeline.search.spaces import obeys, search_config
from tests.pipeline.stages.project import clean_photos, context

LATENCY = {
    "network.width": 4,  # a small grid
    "search.objectives": ["latency"],
    "search.latency": {"size": "64x48", "runtime": "torch", "threads": 1},
}
FIGURE = {"flops_ratio_m1": 0.25, "flops_ratio_m27": 0.125, "shared_layers_pct": 50.0}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the search reads."""
    clean_photos(tmp_path)
    degrade.work(context(tmp_path))
    put_network(tmp_path, seed=0)
    return tmp_path


def put_network(root: Path, seed: int) -> None:
    (root / SUPERNET).mkdir(parents=True, exist_ok=True)
    network = SuperNetwork(NetworkConfig(width=8, blocks=1), torch.Generator().manual_seed(seed))
    save_dense(root / SUPERNET / WEIGHTS, network)
    axes = ("deblur", "denoise", "dejpeg")
    control = Control(gain_db=dict.fromkeys(axes, 4.0), evenness=dict.fromkeys(axes, 1.0), off_rms=0.0)
    figures = {"input_psnr_db": 20.0, "psnr_db": 25.0, "control": control.to_json()}
    (root / SUPERNET / FIGURES).write_text(json.dumps(figures))


def key(root: Path, changes: dict[str, Any] | None = None) -> str:
    return study_key(root, context(root, changes).params).own


class TestStudy:
    @pytest.mark.parametrize(
        "changes",
        [
            {"search.trials": 99},
            {"search.resources": {"concurrent": 7, "cpus_per_trial": 3.0}},
            {"select.budgets": [0.1]},
            {"finetune.iterations": 7},
            {"search.latency": {"size": "64x64", "runtime": "torch", "threads": 2}},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_it_goes_on_when_no_trial_would_differ(self, project: Path, changes: dict[str, Any]) -> None:
        assert key(project, changes) == key(project)

    @pytest.mark.parametrize(
        "changes",
        [
            {"search.seed": 1},
            {"search.schedule.iterations": 101},
            {"search.method.ema": 0.2},
            {"search.space.gamma.low": 0.81},
            {"search.suggestions": []},
            {"search.variants": ["TSNet", "TA+TSNet"]},
            {"search.objectives": ["latency"]},
            {"train.lr": 0.001},
            {"eval.seed": 9},
            {"network.blocks": 2},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_another_one_begins_when_a_trial_would_differ(self, project: Path, changes: dict[str, Any]) -> None:
        assert key(project, changes) != key(project)

    @pytest.mark.parametrize("changes", [{"size": "64x64"}, {"threads": 2}, {"runtime": "onnxruntime"}], ids=str)
    def test_other_latencies_begin_another_one_where_they_are_minimised(
        self, project: Path, changes: dict[str, Any]
    ) -> None:
        timed = {f"search.latency.{name}": value for name, value in changes.items()}
        assert key(project, LATENCY | timed) != key(project, LATENCY)

    def test_other_weights_to_start_from_begin_another_one(self, project: Path) -> None:
        before = key(project)
        put_network(project, seed=1)
        assert key(project) != before

    def test_other_photos_begin_another_one(self, project: Path) -> None:
        before = key(project)
        path = project / CLEAN / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"dataset_sha256": "0" * 64}))
        assert key(project) != before


def test_a_job_holds_what_the_earlier_stages_made(project: Path) -> None:
    job = make_job(project, context(project).params)
    assert len(job.pack.shapes) == 2
    assert len(job.valid) == 2
    assert job.dense.gain_db["denoise"] == 4.0
    SuperNetwork(job.network).load_state_dict(dict(job.warm))


class TestLatency:
    def test_it_is_measured_only_where_it_is_minimised(self, project: Path, tmp_path: Path) -> None:
        assert recorded_latency(context(project), tmp_path) is None
        assert not (tmp_path / "latency.json").exists()

    def test_a_study_is_measured_once_and_every_trial_gets_the_table(
        self, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = context(project, LATENCY)
        table = recorded_latency(made, tmp_path / "state")
        assert table is not None
        assert (table.runtime, table.threads, table.size, table.width) == ("torch", 1, (64, 48), 4)
        said = capsys.readouterr().out
        assert f"on this machine before the trials: {table.device}, torch, 1 threads, 64x48" in said
        assert recorded_latency(made, tmp_path / "state") == table
        assert "measures" not in capsys.readouterr().out
        assert make_job(project, made.params, table).latency == table

    def test_what_was_cut_short_is_measured_again(self, project: Path, tmp_path: Path) -> None:
        (tmp_path / "latency.json").write_text("{")
        assert recorded_latency(context(project, LATENCY), tmp_path) is not None
        assert json.loads((tmp_path / "latency.json").read_text())["runtime"] == "torch"

    def test_a_study_keeps_the_times_of_another_machine_and_says_so(
        self, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = context(project, LATENCY)
        recorded_latency(made, tmp_path)
        path = tmp_path / "latency.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "a big machine"}))
        table = recorded_latency(made, tmp_path)
        assert table is not None
        assert table.device == "a big machine"
        assert "keeps its times of a big machine" in capsys.readouterr().out


def make_ledger() -> Ledger:
    return Ledger(optuna.storages.InMemoryStorage(), "study", search_config())


def record(psnr_db: float, key: str) -> dict[str, Any]:
    return {"psnr_db": psnr_db, "key": key, **obeys(), **FIGURE}


class TestCollect:
    @pytest.fixture
    def ledger(self) -> Ledger:
        ledger = make_ledger()
        for end in ("finish", "fail", "finish"):
            number, _ = ledger.ask()
            if end == "finish":
                ledger.finish(number, record(25.0 + number, f"key{number}"))
            else:
                ledger.fail(number, "diverged", {"key": f"key{number}"})
        return ledger

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        store = Store(str(tmp_path / "store"), "study")
        for number in (0, 2):
            (tmp_path / f"net{number}").mkdir()
            (tmp_path / f"net{number}" / WEIGHTS).write_text(f"weights {number}")
            store.put(f"key{number}", tmp_path / f"net{number}", {})
        return store

    def test_finished_networks_and_all_rows_are_handed_on(self, project: Path, ledger: Ledger, store: Store) -> None:
        finished = collect(project, context(project).params, ledger, "study", store)
        assert [row["number"] for row in finished] == [0, 2]
        data = json.loads((project / TRIALS_FILE).read_text())
        assert [(row["number"], row["state"]) for row in data["trials"]] == [
            (0, "finished"),
            (1, "failed"),
            (2, "finished"),
        ]
        assert {name: data["dense"][name] for name in ("psnr_db", "input_psnr_db")} == {
            "psnr_db": 25.0,
            "input_psnr_db": 20.0,
        }
        assert set(data["dense"]["control"]["gain_db"]) == {"deblur", "denoise", "dejpeg"}
        for row in finished:
            assert (project / TRIALS / row["folder"] / WEIGHTS).read_text() == f"weights {row['number']}"
        assert {path.name for path in (project / TRIALS).iterdir()} == {"0000", "0002"}

    def test_what_was_minimised_is_told_with_the_machine(self, project: Path, ledger: Ledger, store: Store) -> None:
        collect(project, context(project).params, ledger, "study", store)
        data = json.loads((project / TRIALS_FILE).read_text())
        assert (data["objectives"], data["latency"]) == (["flops"], None)
        made = context(project, LATENCY)
        table = recorded_latency(made, project / "state")
        collect(project, made.params, ledger, "study", store, table)
        data = json.loads((project / TRIALS_FILE).read_text())
        assert data["objectives"] == ["latency"]
        assert table is not None
        assert data["latency"] == {
            "device": table.device,
            "runtime": "torch",
            "threads": 1,
            "size": [64, 48],
            "dense_ms": pytest.approx(dense_ms(table, made.params.network)),
        }

    def test_what_was_there_before_is_replaced(self, project: Path, ledger: Ledger, store: Store) -> None:
        (project / TRIALS / "0077").mkdir(parents=True)
        collect(project, context(project).params, ledger, "study", store)
        assert not (project / TRIALS / "0077").exists()
