"""Networks that come with the package: folders of extracted networks, each with a card (CARD.md) about it."""

from __future__ import annotations

from pathlib import Path

DEFAULT = "standard"
"""Restores where no other network is named."""

CARD = "CARD.md"
_NETWORKS = Path(__file__).parent / "networks"


SHIPPED_DENSE = "dense"
"""Names the dense network that the shipped ones were found from, where a training asks for its beginning."""


def dense_parts() -> list[Path]:
    """Files of the shipped dense network's weights, float16."""
    return sorted((Path(__file__).parent / "dense").glob("part-*.safetensors"))


def shipped() -> dict[str, Path]:
    """Every shipped network's folder, by name."""
    return {path.name: path for path in sorted(_NETWORKS.iterdir()) if path.is_dir()}


def summary(folder: Path) -> str:
    """What a network is, in a line: the first sentence of its card."""
    lines = (folder / CARD).read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line and not line.startswith("#"))
