"""Links between Markdown files lead somewhere, heading included; code that pages name is there."""

from __future__ import annotations

import posixpath
import re

import pytest

from tests.docs.markdown import COMMANDS_IN, PAGES, ROOT, prose, text_of

LINK = re.compile(r"\]\((?![a-z]+:)([^)\s]*)\)")
CODE = re.compile(r"`((?:tatsnet|pipeline|infra|benchmarks|tests|profiles|examples|docs)/[\w./-]+)`")
OF_AN_EXAMPLE = {"pipeline/sources/meadow.py"}


def anchors(page: str) -> set[str]:
    """Of a page's headings, as GitHub and the site make them."""
    return {_slug(heading) for heading in re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)}


def _slug(heading: str) -> str:
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def broken(page: str) -> list[str]:
    """Links of a page that lead nowhere."""
    found = []
    for link in LINK.findall(text_of(page)):
        path, _, anchor = link.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
        if not (ROOT / target).is_file() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert broken(page) == []


@pytest.mark.parametrize("page", COMMANDS_IN)
def test_code_that_a_page_names_is_there(page: str) -> None:
    named = {path for path in CODE.findall(text_of(page)) if "NAME" not in path and "NNNN" not in path} - OF_AN_EXAMPLE
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_decision_is_in_the_index() -> None:
    linked = set(LINK.findall(text_of("docs/decisions/index.md")))
    assert {path.name for path in (ROOT / "docs/decisions").glob("0*.md")} <= linked


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), ["README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page not in PAGES:
            continue
        reached.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(text_of(page)))
        ahead += [posixpath.normpath(posixpath.join(posixpath.dirname(page), link)) for link in links if link]
    assert set(PAGES) - reached - {"CHANGELOG.md"} == set()
