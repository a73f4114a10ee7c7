"""The Markdown files of the project: their fenced blocks, and the shell commands in these."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
    if "api" not in path.parts
)
"""All pages, relative to the project's folder."""

COMMANDS_IN = tuple(page for page in PAGES if "decisions/" not in page)
"""Pages whose commands are for the present code."""

_FENCED = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(^|\s+)#\s.*$")


@dataclass(frozen=True)
class Command:
    """A shell command: the page that it stands on, and its text on one line without comments."""

    page: str
    text: str


def text_of(page: str) -> str:
    """The Markdown of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks in a language, in their order."""
    found = _FENCED.finditer(text_of(page))
    return [textwrap.dedent(match["text"]) for match in found if match["language"] == language]


def languages(page: str) -> set[str]:
    """Of the fenced blocks."""
    return {match["language"] for match in _FENCED.finditer(text_of(page))}


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return _FENCED.sub("", text_of(page))


def shell_commands(block: str) -> list[str]:
    """The commands of a block: continued lines and loops are joined, `&&` separates."""
    lines = [_COMMENT.sub("", line).strip() for line in block.replace("\\\n", " ").splitlines()]
    commands: list[str] = []
    for line in filter(None, lines):
        if commands and re.match(r"for .*\bdo\b", commands[-1]) and not commands[-1].endswith("done"):
            commands[-1] += f" {line}" if commands[-1].endswith("do") else f"; {line}"
        else:
            commands += line.split(" && ")
    return [" ".join(command.split()) for command in commands]


def commands(page: str) -> list[Command]:
    """All shell commands of a page, in their order."""
    return [Command(page, text) for block in blocks(page, "sh") for text in shell_commands(block)]
