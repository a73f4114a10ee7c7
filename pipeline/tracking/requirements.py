"""What a registered model has to have installed: what the library's modules import that it is made of."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path

OPTIONAL = frozenset({"onnx", "onnxruntime", "openvino", "triton"})
"""Runtimes that the library takes where they are installed, and does without."""


def requirements(library: Path, *used: Path) -> list[str]:
    """Distributions with the exact versions that are installed here, sorted.

    Args:
        library: folder of the package whose modules are looked into.
        used: files that import it.

    Raises:
        LookupError: something that is imported belongs to no installed distribution.
    """
    seen: set[Path] = set()
    found = {name for file in used for name in _imported(file, library, seen)}
    known = packages_distributions()
    names: set[str] = set()
    for module in found - OPTIONAL - sys.stdlib_module_names - {library.name}:
        if not known.get(module):
            raise LookupError(f"{library.name} imports {module}, which no installed distribution holds")
        names.add(module if module in known[module] else known[module][0].lower())  # one of several by its own name
    return [f"{name}=={version(name).split('+')[0]}" for name in sorted(names)]


def _imported(file: Path, library: Path, seen: set[Path]) -> Iterator[str]:
    """Top-level names that a file imports, or a module of the library that it imports, inside functions too."""
    if file in seen:
        return
    seen.add(file)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for module in modules:
            top, _, rest = module.partition(".")
            yield top
            if top == library.name:
                place = library.joinpath(*rest.split(".")) if rest else library
                for own in (place.with_suffix(".py"), place / "__init__.py"):
                    if own.is_file():
                        yield from _imported(own, library, seen)
