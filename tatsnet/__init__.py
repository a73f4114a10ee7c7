"""Controllable image restoration networks: search, extraction, use.

from tatsnet import Restorer

restorer = Restorer.load("standard")
restored = restorer.restore(photo, (0.5, 0.3, 0.0))  # deblur, denoise, dejpeg
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tatsnet.restorer import Restorer

__version__ = "0.2.0"
__all__ = ["Restorer", "__version__"]


def __getattr__(name: str) -> Any:
    """Import PyTorch only when the restorer is asked for."""
    if name == "Restorer":
        from tatsnet.restorer import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
