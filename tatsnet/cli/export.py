"""`tatsnet export`: an extracted network as ONNX files."""

from __future__ import annotations

from pathlib import Path

from tatsnet.cli.errors import shown
from tatsnet.cli.work import user_errors
from tatsnet.data.degradation import GRID
from tatsnet.pruned.extraction import with_tasks
from tatsnet.pruned.folder import read_folder
from tatsnet.pruned.onnx_export import TASKS, export


def export_model(model: Path, folder: Path) -> None:
    """Write the ONNX files of a network's 27 effects, and of what else it has ready, into a folder, and say so.

    Of what is there only an older export is replaced.

    Raises:
        CommandError: the model or the folder is not usable.
    """
    with user_errors(folder):
        export(with_tasks(read_folder(model), GRID), folder)
        files = sorted(folder.glob("*.onnx"))
        size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{shown(folder)}: {len(files)} ONNX files for {len(GRID)} effects, {size:.1f} MB, and {TASKS}")
