from __future__ import annotations

import itertools

import pytest

from tatsnet.network.architecture import NetworkConfig
from tatsnet.runtimes.choose import NAMES, pick, why_not
from tatsnet.timing.latency_model import dense_ms
from tatsnet.timing.latency_table import LINKS, Sections, default_grid, fit_some, measure_table
from tatsnet.timing.measure import Timing

NETWORK = NetworkConfig(width=8, blocks=2)
RUNTIMES = [name for name in NAMES if why_not(name) is None]


@pytest.mark.parametrize(
    ("width", "grid"),
    [(4, (1, 2, 3, 4)), (16, (1, 4, 5, 8, 9, 12, 13, 16)), (64, (1, 16, 17, 32, 33, 48, 49, 64))],
)
def test_the_grid_goes_from_one_channel_to_the_width(width: int, grid: tuple[int, ...]) -> None:
    assert default_grid(width) == grid


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_measured_table_says_on_what_and_its_layers_take_time(runtime: str) -> None:
    told: list[tuple[int, int, str]] = []
    table = measure_table(
        NETWORK,
        pick(runtime, threads=1),
        (48, 32),
        device="this one",
        cpu_threads=1,
        grid=(1, 8),
        rounds=2,
        report=lambda *turn: told.append(turn),
    )
    assert (table.device, table.runtime, table.threads, table.size) == ("this one", runtime, 1, (48, 32))
    assert min(*table.head_ms, *table.end_ms[0], table.image_ms, table.effect_ms) > 0
    assert dense_ms(table, NETWORK) > 0
    assert [done for done, _, _ in told] == list(range(told[0][1]))


def test_a_block_is_what_a_chain_takes_more_than_one_of_it() -> None:
    """On a clock that says how many blocks of how many channels a section has."""
    sections = Sections(NETWORK, pick("torch"), (16, 16), grid=(1, 4, 8))

    def of(name: str) -> float:
        counts = [int(word) for word in name.split() if word.isdigit()]
        blocks = 1 if name.startswith("one") else 1 + LINKS
        if "block" in name:
            return 7.0 + blocks * (counts[0] + counts[1])
        return 7.0 + blocks * (counts[0] + 4 + 0.5 * counts[1]) if "some" in name else 3.0

    found = {name: Timing(ms_per_effect=of(name), spread_pct=0.0) for name in sections.works}
    table = sections.table(found, "a processor", 1)
    for row, column in itertools.product(range(3), range(3)):
        assert table.block_ms[row][column] == pytest.approx((1, 4, 8)[row] + (1, 4, 8)[column])
    assert table.some_ms == pytest.approx((0.0, 0.0, 0.5), abs=1e-9)
    assert table.head_ms == (3.0, 3.0, 3.0)
    assert table.image_ms == 3.0


PLACES = [(1, 4), (1, 8), (2, 8), (4, 8), (2, 4)]


@pytest.mark.parametrize("factors", [(0.0, 0.0, 0.0), (1.0, 2.0, 3.0), (0.0, 0.5, 0.0), (0.25, 0.0, 0.125)])
def test_the_fit_finds_what_is_linear(factors: tuple[float, float, float]) -> None:
    more = [factors[0] + factors[1] * kept + factors[2] * travel for kept, travel in PLACES]
    assert fit_some(PLACES, more) == pytest.approx(factors, abs=1e-9)


def test_the_fit_has_no_negative_factor() -> None:
    assert min(fit_some(PLACES, [3.0, 2.0, 1.0, 0.5, 2.0])) >= 0


@pytest.mark.parametrize(
    ("size", "grid", "message"), [((47, 32), (1, 8), "even"), ((48, 32), (1, 4), "grid"), ((48, 32), (8,), "grid")]
)
def test_what_cannot_be_measured_is_refused(size: tuple[int, int], grid: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sections(NETWORK, pick("torch"), size, grid)
