"""Fixtures of the sources' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pipeline.sources.web import Site, served


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as site:
        yield site
