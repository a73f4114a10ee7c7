"""README, CONTRIBUTING and CHANGELOG, which stand beside docs/, are pages of the site as well; links are adapted."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

BESIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are files beside docs/."""
    root = Path(config.config_file_path).parent
    for name, page in BESIDE.items():
        text = (root / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links between files of the repository be links between pages."""
    source = {site: name for name, site in BESIDE.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def adapted(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        on_site = BESIDE.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(on_site, posixpath.dirname(page.file.src_uri) or ".")

    return _LINK.sub(adapted, markdown)
