"""The benchmark's networks have the paper's shape, and its cells add up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tatsnet.cli.bench import Wanted, places
from tatsnet.cli.main import main
from tatsnet.data.degradation import GRID
from tatsnet.network.architecture import Architecture, NetworkConfig
from tatsnet.network.flops import dense_flops, effect_cost
from tatsnet.network.supernet import SuperNetwork
from tatsnet.pruned.extraction import extract, slice_parts
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.runtimes import Runtime
from tatsnet.runtimes.choose import available
from tatsnet.timing.bench import Place, bench
from tatsnet.timing.cells import Cell, across, processor, table, to_json
from tatsnet.timing.subjects import EFFECTS, Effects, dense, pruned, random_dense, spread
from tatsnet.timing.synthetic import PAPER, TATS, TS, Layout, architecture, random_parts
from tests.tatsnet.networks import TINY, frozen_network

HD = (720, 1280)
HERE = Place(device="cpu", threads=1, runtime="torch")


class TestSynthetic:
    def test_tatsnet_has_the_papers_share_and_flops(self) -> None:
        found = architecture(TATS, Layout.TIED)
        assert found.shared_percent == pytest.approx(62, abs=0.5)
        assert effect_cost(found, *HD, 1).ratio == pytest.approx(0.28, abs=0.005)
        assert effect_cost(found, *HD, 27).ratio == pytest.approx(406.7 / 10119.2, abs=0.0005)

    def test_tsnet_has_the_papers_flops(self) -> None:
        assert effect_cost(architecture(TS, Layout.TIED), *HD, 27).ratio == pytest.approx(2470.0 / 10119.2, abs=0.005)

    @pytest.mark.parametrize("layout", Layout)
    def test_every_effect_has_a_pattern_of_its_own(self, layout: Layout) -> None:
        assert len(set(architecture(TATS, layout).patterns)) == EFFECTS

    def test_tied_sections_keep_one_set_in_runs_of_8(self) -> None:
        found = architecture(TATS, Layout.TIED)
        for pattern in found.patterns:
            shared = {pattern[point] for point in range(found.shared) if point % 3 != 2}
            assert len(shared) == 1
            (stream,) = shared
            specific = {pattern[3 * block + 3] for block in range(20, 32)}
            assert len(specific) == 1
            assert set(*specific) <= set(stream), "nothing is extended"
            for kept in pattern:
                assert all(set(range(c - c % 8, c - c % 8 + 8)) <= set(kept) for c in kept)

    def test_free_points_keep_sets_of_their_own(self) -> None:
        pattern = architecture(TATS, Layout.FREE).patterns[0]
        assert len({pattern[3 * block + 3] for block in range(20)}) == 20

    def test_middle_keeps_the_whole_stream(self) -> None:
        for pattern in architecture(TATS, Layout.MIDDLE).patterns:
            assert all(len(pattern[point]) == 64 for point in range(len(pattern) - 1) if point % 3 != 2)

    def test_the_same_seed_gives_the_same(self) -> None:
        assert architecture(TATS, Layout.TIED, 3) == architecture(TATS, Layout.TIED, 3)
        assert architecture(TATS, Layout.TIED, 3) != architecture(TATS, Layout.TIED, 4)

    def test_random_weights_make_a_network_that_restores_finite_images(self) -> None:
        network = ExtractedNetwork(random_parts(architecture(TATS, Layout.TIED)))
        restored = network.effect(network.encode(torch.rand(1, 3, 10, 12)), GRID[5])
        assert restored.shape == (1, 3, 10, 12)
        assert restored.isfinite().all()


def test_a_few_effects_are_spread_over_the_27() -> None:
    assert spread(27) == GRID
    assert spread(1) == (GRID[13],)
    assert len(set(spread(5))) == 5


def cells(runtime: str = "torch") -> list[Cell]:
    parts = slice_parts(frozen_network(4), GRID)
    subjects = [random_dense(TINY, 2), pruned("knee", parts)]
    return list(bench(subjects, [(24, 16), (16, 16)], [replace(HERE, runtime=runtime)], rounds=2))


class TestBench:
    @pytest.mark.parametrize("runtime", available())
    def test_a_cell_per_network_and_size_with_the_figures_that_follow_from_its_time(self, runtime: str) -> None:
        found = cells(runtime)
        assert [(cell.network, cell.size) for cell in found] == [
            ("dense", "24x16"), ("knee", "24x16"), ("dense", "16x16"), ("knee", "16x16"),
        ]  # fmt: skip
        ratio = effect_cost(slice_parts(frozen_network(4), GRID).architecture, 16, 24, 27).ratio
        for base, cell in ((found[0], found[1]), (found[2], found[3])):
            assert (base.ratio_to_dense, base.flops_ratio, base.share_of_cut) == (1.0, 1.0, 1.0)
            assert cell.ratio_to_dense == pytest.approx(base.ms_per_effect / cell.ms_per_effect)
            assert cell.share_of_cut == pytest.approx(cell.ratio_to_dense * cell.flops_ratio)
            assert {base.runtime, cell.runtime} == {runtime}
            assert (base.effects, cell.effects) == (2, 27)
            assert cell.ms_per_effect > 0
        assert found[1].flops_ratio == pytest.approx(ratio)
        assert found[0].gflops_per_effect == pytest.approx(dense_flops(TINY, 16, 24) / 1e9)

    def test_threads_are_as_before_after_it(self) -> None:
        before = torch.get_num_threads()
        cells()
        assert torch.get_num_threads() == before

    def test_an_accelerators_cell_has_no_threads(self) -> None:
        made: list[str] = []

        def build(runtime: Runtime) -> Effects:
            made.append(f"{runtime.name} on {runtime.device}")
            return lambda image, tasks: iter([image for _ in tasks])

        subject = replace(random_dense(TINY, 1), build=build)
        said: list[str] = []
        (cell,) = bench([subject], [(16, 16)], [replace(HERE, device="meta", threads=0)], 1, said.append)
        assert (cell.device, cell.threads, made) == ("meta", 0, ["torch on meta"])
        assert said[-1] == "16x16, meta, torch: dense"

    def test_nothing_to_compare_with(self) -> None:
        with pytest.raises(ValueError, match="dense"):
            next(bench([pruned("knee", slice_parts(frozen_network(4), GRID))], [(16, 16)], [HERE], 1))

    def test_progress_names_what_runs(self) -> None:
        said: list[str] = []
        supernet = SuperNetwork(NetworkConfig(width=4, blocks=1))
        list(bench([dense(supernet, 1)], [(16, 16)], [HERE], 1, said.append))
        assert said == ["16x16, cpu, 1 threads, torch: dense"] * 2, "one round to warm up, one that counts"


def test_the_table_has_a_row_per_network_and_a_column_per_place() -> None:
    base = cells()[0]
    one = replace(base, network="dense", ms_per_effect=20_000.0)
    two = replace(base, network="knee", ms_per_effect=123.4, flops_ratio=0.04, ratio_to_dense=20.0, share_of_cut=0.8)
    more = [one, two, replace(two, threads=2, ms_per_effect=60.0)]
    lines = table(more).splitlines()
    assert lines[0].endswith("| 24x16, CPU, 1 thread, torch | 24x16, CPU, 2 threads, torch |")
    assert lines[2] == "| dense | 100.0 % | 20.0 s |  |"
    assert lines[3] == "| knee | 4.0 % | 123.4 ms, 20.0x (0.80) | 60.0 ms, 20.0x (0.80) |"


def test_the_fastest_dense_network_of_a_place_is_the_bar_for_all_of_its_runtimes() -> None:
    dense = replace(cells()[0], network="dense", ms_per_effect=30.0)
    knee = replace(dense, network="knee", ms_per_effect=4.0)
    there = [dense, knee, replace(dense, runtime="triton", ms_per_effect=60.0)]
    quick = replace(knee, runtime="triton", ms_per_effect=2.0)
    assert across([dense, knee, replace(dense, threads=2)]) == "", "one runtime at each place"
    assert across([*there, quick]).splitlines() == [
        "24x16, CPU, 1 thread, float32: of the dense networks torch's is the fastest, 30.0 ms.",
        "  knee: 15.0x that with triton",
    ]


def test_json_holds_the_machine_and_every_cell() -> None:
    found = cells()
    data = json.loads(json.dumps(to_json(found)))
    assert [Cell(**cell) for cell in data["cells"]] == found
    assert (
        data["machine"]["versions"]["torch"] == torch.__version__.split("+")[0] or data["machine"]["versions"]["torch"]
    )
    assert data["machine"]["cpu"] == processor().strip() != ""


class TestCommand:
    ARGUMENTS = ("bench", "--size", "16x16", "--threads", "1", "--runtime", "torch", "--rounds", "1")

    def test_a_found_network(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        extract(frozen_network(4), tmp_path / "net")
        target = tmp_path / "bench.json"
        assert main([*self.ARGUMENTS, "--model", str(tmp_path / "net"), "--json", str(target)]) == 0
        assert "| dense | 100.0 % |" in capsys.readouterr().out
        names = [cell["network"] for cell in json.loads(target.read_text(encoding="utf-8"))["cells"]]
        assert names == ["dense", str(tmp_path / "net")]

    def test_a_pattern_alone(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        found: Architecture = slice_parts(frozen_network(4), GRID).architecture
        path = tmp_path / "pattern.json"
        path.write_text(json.dumps(found.to_json()), encoding="utf-8")
        assert main([*self.ARGUMENTS, "--pattern", str(path)]) == 0
        assert f"| {path} | {100 * effect_cost(found, 16, 16, 27).ratio:.1f} % |" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--model", "nowhere"], "tatsnet: there is no folder nowhere"),
            (["--model", "nowhere", "--json", "cells.json"], "tatsnet: there is no folder nowhere"),
            (["--pattern", "nowhere.json"], "tatsnet: nowhere.json: No such file"),
            (["--threads", "x"], "'x' is not a list of whole numbers"),
            (["--threads", "0"], "nothing to measure"),
            (["--size", "16"], "16"),
        ],
    )
    def test_what_cannot_be_measured_is_one_line(
        self, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([*self.ARGUMENTS, *arguments]) == 2
        message = capsys.readouterr().err
        assert said in message
        assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("runtimes", "threads", "expected"),
    [
        (
            ("auto",),
            (1, 2),
            ["cpu 1 auto", "cpu 2 auto", "cuda 0 torch", "cuda 0 cudagraph", "cuda 0 triton"],
        ),
        (("torch",), (1,), ["cpu 1 torch", "cuda 0 torch"]),
        (("openvino", "onnxruntime"), (1,), ["cpu 1 openvino", "cpu 1 onnxruntime"]),
        (("openvino", "cudagraph"), (1,), ["cpu 1 openvino", "cuda 0 cudagraph"]),
        (("triton",), (1,), ["cuda 0 triton"]),
        (("openvino", "auto"), (0,), ["cuda 0 torch", "cuda 0 cudagraph", "cuda 0 triton"]),
        (("openvino",), (0,), []),
    ],
)
def test_each_runtime_is_measured_where_it_runs(
    runtimes: tuple[str, ...], threads: tuple[int, ...], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted(
        model=None, pattern=None, sizes=(), threads=threads, runtimes=runtimes, precision=None, rounds=1, quick=True
    )
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        found = [f"{place.device} {place.threads} {place.runtime}" for place in places(wanted)]
        assert found == [place for place in expected if there or place.startswith("cpu")]


def test_the_papers_network_is_what_is_measured_by_default() -> None:
    assert PAPER == NetworkConfig(width=64, blocks=32)
