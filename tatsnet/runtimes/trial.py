"""A runtime tried on a few pixels: that its package loads does not say that it computes."""

from __future__ import annotations

import torch

from tatsnet.network.architecture import NetworkConfig, convolutions
from tatsnet.network.section_plan import plan_section
from tatsnet.network.tasks import AXES
from tatsnet.runtimes.api import Runtime
from tatsnet.runtimes.torch.layers import start

_NETWORK = NetworkConfig(width=4, blocks=1)
_CLOSE = 0.01


@torch.inference_mode()
def try_out(runtime: Runtime) -> None:
    """Compile a convolution that gives ones whatever it reads, run it, and add what it gave to an image of zeros.

    Raises:
        RuntimeError: the result is wrong.
        Exception: whatever a package raises that does not work here.
    """
    head = convolutions(_NETWORK)[:1]
    tensors = {"head.weight": torch.zeros(_NETWORK.width, 3, 3, 3), "head.bias": torch.ones(_NETWORK.width)}
    section = runtime.compile(plan_section(head, _NETWORK.whole), tensors)
    image_BCHW = torch.zeros(1, 3, 4, 4, device=runtime.device)
    state = section(start(image_BCHW), torch.zeros(len(AXES), device=runtime.device))
    stream_BCHW = state.stream_BCHW.float()
    ones = torch.ones(3, device=runtime.device)
    added = runtime.add_scaled(image_BCHW, ones, image_BCHW + 1).float()
    if not (torch.allclose(stream_BCHW, torch.ones_like(stream_BCHW), atol=_CLOSE) and bool((added == 1).all())):
        raise RuntimeError("it computes wrong numbers")
