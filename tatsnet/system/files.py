"""Weights as bytes and back, without running anything that they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

Tensors = dict[str, Tensor]


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Tensors as the bytes of a safetensors file, whatever their device, memory format and common storage."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return safetensors.torch.save(plain, dict(metadata) if metadata else None)


def unpack(data: bytes, where: Path, advice: str) -> Tensors:
    """The tensors in the bytes of a safetensors file, on the CPU.

    Args:
        where: the file that the bytes are from, for the message.
        advice: what to do when it cannot be read.

    Raises:
        ValueError: not safetensors, or cut short.
    """
    try:
        return dict(safetensors.torch.load(data))
    except SafetensorError as error:
        raise ValueError(f"{where} is not a complete safetensors file ({error}): {advice}") from error


def sha256(data: bytes) -> str:
    """Lower-case hexadecimal sha256."""
    return hashlib.sha256(data).hexdigest()
