"""`tatsnet export`: an extracted network as ONNX files."""

from __future__ import annotations

from pathlib import Path

from tatsnet.cli.errors import shown
from tatsnet.cli.work import user_errors
from tatsnet.pruned.folder import read_folder
from tatsnet.pruned.onnx_export import TASKS, export


def export_model(model: Path, folder: Path) -> None:
    """Write a network's ONNX files into a folder and say so; of what is there only an older export is replaced.

    Raises:
        CommandError: the model or the folder is not usable.
    """
    with user_errors(folder):
        export(read_folder(model), folder)
        files = sorted(folder.glob("*.onnx"))
        size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{shown(folder)}: {len(files)} ONNX files, {size:.1f} MB, and {TASKS}")
