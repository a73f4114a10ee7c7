"""Where the photos come from is checked before anything runs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from pipeline.sources import DataConfig, make_source
from pipeline.sources.settings import split_uri


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": "cifar"}, "source must be sample, bsds, div2k, folder or s3, got 'cifar'"),
        ({"source": "folder"}, "needs `folder`"),
        ({"source": "folder", "folder": ""}, "needs `folder`"),
        ({"source": "s3"}, "needs `uri` as s3://bucket/prefix"),
        ({"source": "s3", "uri": "https://bucket/x"}, "got 'https://bucket/x'"),
        ({"source": "s3", "uri": "s3://"}, "got 's3://'"),
        ({"source": "s3", "uri": "s3://Bad_Bucket/x"}, "got 's3://Bad_Bucket/x'"),
        ({"cache": " "}, "cache must name a directory"),
    ],
)
def test_wrong_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(**values)


def test_settings_are_frozen_and_default_to_the_sample() -> None:
    data = DataConfig()
    assert (data.source, data.folder, data.uri) == ("sample", None, None)
    with pytest.raises(FrozenInstanceError):
        data.source = "s3"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://my.bucket-1/a/b/", ("my.bucket-1", "a/b")),
        ("s3://bucket/with space/ü", ("bucket", "with space/ü")),
    ],
)
def test_split_uri(uri: str, expected: tuple[str, str]) -> None:
    assert split_uri(uri) == expected


@pytest.mark.parametrize(
    ("values", "module", "kind"),
    [
        ({"source": "sample"}, "sample", "SampleSource"),
        ({"source": "bsds"}, "bsds", "BsdsSource"),
        ({"source": "div2k"}, "div2k", "Div2kSource"),
        ({"source": "folder", "folder": "~/x"}, "folder", "FolderSource"),
        ({"source": "s3", "uri": "s3://bucket/x"}, "s3", "S3Source"),
    ],
)
def test_make_source_imports_no_more_than_it_needs(values: dict[str, str], module: str, kind: str) -> None:
    code = (
        "import sys\n"
        "from pipeline.sources import DataConfig, make_source\n"
        f"source = make_source(DataConfig(**{values!r}))\n"
        "print(type(source).__module__, type(source).__name__, 'boto3' in sys.modules, 'torch' in sys.modules)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"pipeline.sources.{module}", kind, str(module == "s3"), "False"]


def test_home_is_expanded() -> None:
    source = make_source(DataConfig(source="folder", folder="~/photos"))
    assert source == type(source)(root=Path.home() / "photos")  # type: ignore[call-arg]
