"""docs/metrics.md describes `reports/metrics.json` as it is written: every key, and the schema's number."""

from __future__ import annotations

import dataclasses
import re

import pytest

from pipeline.report import schema
from tests.docs.markdown import text_of

PARTS = [
    part for part in vars(schema).values() if dataclasses.is_dataclass(part) and part.__module__ == schema.__name__
]
PAGE = text_of("docs/metrics.md")


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_key_is_described(part: type) -> None:
    described = set(re.findall(r"`(\w+)`", PAGE))
    assert {field.name for field in dataclasses.fields(part)} - described == set()


def test_the_schema_s_number_is_told() -> None:
    assert f"| `schema` | integer | version of this format: {schema.SCHEMA} |" in PAGE
