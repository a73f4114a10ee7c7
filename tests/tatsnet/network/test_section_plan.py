"""A section's plan: where each layer finds its channels in the stream, and what is left out."""

from __future__ import annotations

import pytest

from tatsnet.network.architecture import Channels, NetworkConfig, Pattern, Role, convolutions
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import travelling

NETWORK = NetworkConfig(width=8, blocks=2)
CONVS = convolutions(NETWORK)
UNTIED: Pattern = ((0, 1, 5), (1, 5), (0, 3), (2, 5), (0, 2), (1, 7), (1, 6), (0, 1, 2, 6), (3,))


def test_layers_name_the_live_channels_that_they_read_and_write() -> None:
    plan = plan_section(CONVS, UNTIED)
    assert plan.live == (0, 1, 5, 2, 6), "the head's, then those that the blocks write first"
    assert (plan.room, plan.incoming, plan.take) == (2, 0, ())
    assert [(layer.role, layer.stream) for layer in plan.layers] == [
        (Role.HEAD, (0, 1, 2)),
        (Role.ENTER, (1, 2)),
        (Role.LEAVE, (3, 2)),
        (Role.ENTER, (0, 3)),
        (Role.LEAVE, (1, 4)),
        (Role.TAIL, (0, 1, 3, 4)),
        (Role.UP, ()),
        (Role.OUT, ()),
    ]


@pytest.mark.parametrize("cut", range(len(CONVS)))
def test_two_sections_do_what_the_whole_does(cut: int) -> None:
    """Each layer reads and writes the same channels of the network, and the second part fits what the first leaves."""
    first = plan_section(CONVS[:cut], UNTIED)
    second = plan_section(CONVS[cut:], UNTIED, travelling(CONVS[:cut], UNTIED))
    whole = plan_section(CONVS, UNTIED)
    parts = [[plan.live[place] for place in layer.stream] for plan in (first, second) for layer in plan.layers]
    assert parts == [[whole.live[place] for place in layer.stream] for layer in whole.layers]
    assert second.incoming == first.stream_out
    assert second.hidden_in == first.hidden_out


def test_a_section_that_ends_the_stream_takes_what_it_uses() -> None:
    incoming: Channels = (3, 0, 7, 1, 6, 2)
    ends, goes_on = plan_section(CONVS[5:], UNTIED, incoming), plan_section(CONVS[3:5], UNTIED, (*incoming[:4], 2))
    assert (ends.live, ends.take, ends.takes_some) == ((0, 1, 6, 2), (1, 3, 4, 5), True)
    assert (goes_on.live, goes_on.takes_some, goes_on.room) == ((3, 0, 7, 1, 2, 6), False, 1)


def test_a_block_that_adds_nothing_is_left_out() -> None:
    dead = (*UNTIED[:3], (), *UNTIED[4:])
    roles = [(layer.role, layer.conv.block) for layer in plan_section(CONVS[:5], (*dead[:4], (0, 1), *dead[5:])).layers]
    assert roles == [(Role.HEAD, None), (Role.ENTER, 1), (Role.LEAVE, 1)]
    assert plan_section(CONVS[2:3], dead, (0, 1, 5)).hidden_in == 0


def test_whole_is_every_live_channel_in_order() -> None:
    tied: Pattern = ((1, 2), (1, 2), (0, 3), (1, 2), (1, 2), (7,), (1, 2), (1, 2), (4, 5))
    assert all(layer.whole for layer in plan_section(CONVS[:6], tied).layers)
    assert not any(layer.whole for layer in plan_section(CONVS[1:3], tied, (2, 1)).layers), "another order"


def test_no_convolutions_leave_the_stream_as_it_is() -> None:
    plan = plan_section((), UNTIED, (0, 1, 5))
    assert (plan.layers, plan.live, plan.take, plan.stream_out, plan.hidden_out) == ((), (0, 1, 5), (0, 1, 2), 3, 0)
