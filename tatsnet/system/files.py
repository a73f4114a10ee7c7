"""Files of weights: written whole or not at all, read without running anything that they hold."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

Tensors = dict[str, Tensor]


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it holds all of `data` or what it held before; missing parent folders are made.

    Raises:
        OSError: the disk is full, read-only, or there is no permission.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


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


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """A new, empty folder that takes the place of `path` when the block ends well.

    The block writes into a hidden sibling. On any exception, an interrupt too, the sibling is removed and `path` is
    as it was.

    Raises:
        OSError: the folder cannot be made or swapped in.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        _swap(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _swap(new: Path, path: Path) -> None:
    if not path.exists():
        os.rename(new, path)
        return
    old = new.with_suffix(".old")
    os.rename(path, old)
    try:
        os.rename(new, path)
    except BaseException:
        os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)
