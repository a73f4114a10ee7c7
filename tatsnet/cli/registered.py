"""`--model models:/NAME@ALIAS`: a network of a registry, which an installed plug-in knows how to fetch.

The library knows no registry. A package that does names a function in the entry points `tatsnet.models`; it takes the
address and gives the network's folder, or raises ValueError. The pipeline installs one for MLflow.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from tatsnet.cli.errors import CommandError

GROUP, SCHEME = "tatsnet.models", "models:"


def model_folder(model: Path) -> Path:
    """The folder that `--model` means: a registered network's, or the path as it is.

    Raises:
        CommandError: nothing is installed that reads a registry, or it finds no such network.
    """
    address = str(model)
    if not address.startswith(f"{SCHEME}/"):
        return model
    readers = entry_points(group=GROUP, name=SCHEME.rstrip(":"))
    if not readers:
        raise CommandError(
            f"{address}: nothing is installed that reads a registry of models; install this project with `make setup`, "
            "or give the folder of a network"
        )
    try:
        folder: Path = next(iter(readers)).load()(address)
    except ImportError as error:
        raise CommandError(
            f"{address}: what reads a registry is not installed ({error}); run this in a clone of the project "
            "set up by `make setup`, or give the folder of a network"
        ) from error
    except (ValueError, OSError) as error:
        raise CommandError(str(error)) from error
    return folder
