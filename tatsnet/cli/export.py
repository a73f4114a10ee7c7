"""`tatsnet export`: an extracted network as ONNX files."""

from __future__ import annotations

from pathlib import Path

from tatsnet.cli.errors import CommandError, explain
from tatsnet.pruned.folder import SPEC, read_folder
from tatsnet.pruned.onnx_export import TASKS, export


def export_model(model: Path, folder: Path) -> None:
    """Write a network's ONNX files into a folder and say so.

    Raises:
        CommandError: the model or the folder is not usable.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / TASKS).is_file())):
        raise CommandError(f"{folder} is there and holds something else; give another folder with -o")
    if (folder / SPEC).is_file():
        raise CommandError(f"{folder} holds an extracted network; give another folder with -o")
    try:
        export(read_folder(model), folder)
    except OSError as error:
        raise CommandError(explain(error, folder)) from error
    except ValueError as error:
        raise CommandError(str(error)) from error
    files = sorted(folder.glob("*.onnx"))
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{folder}: {len(files)} ONNX files, {size:.1f} MB, and {TASKS}")
