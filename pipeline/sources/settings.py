"""Which photos the pipeline trains and measures on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_URI = re.compile(r"s3://([a-z0-9][a-z0-9.\-]{1,61}[a-z0-9])(?:/(.*))?")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which photos the pipeline trains and measures on.

    Args:
        source: `sample` photos inside installed packages; `bsds` BSDS500 without CBSD68, tested on CBSD68; `div2k`
            DIV2K, tested on CBSD68; `folder` a user's own; `s3` a prefix in a bucket.
        folder: for source folder: a directory with train/, test/ and, optionally, valid/.
        uri: for source s3: s3://bucket/prefix, laid out as the folder is.
        cache: directory where archives and downloaded objects are kept.

    Raises:
        ValueError: an unknown source, or one whose `folder` or `uri` is missing or malformed.
    """

    source: Literal["sample", "bsds", "div2k", "folder", "s3"] = "sample"
    folder: str | None = None
    uri: str | None = None
    cache: str = "~/.cache/tatsnet"

    def __post_init__(self) -> None:
        if self.source not in ("sample", "bsds", "div2k", "folder", "s3"):
            raise ValueError(f"source must be sample, bsds, div2k, folder or s3, got {self.source!r}")
        if self.source == "folder" and not self.folder:
            raise ValueError("source folder needs `folder`: the directory that holds train/ and test/")
        if self.source == "s3":
            split_uri(self.uri or "")
        if not self.cache.strip():
            raise ValueError("cache must name a directory, got an empty string")


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and prefix of an s3 address; the prefix without slashes at its ends, and empty for a whole bucket.

    Raises:
        ValueError: not s3://bucket/prefix.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"source s3 needs `uri` as s3://bucket/prefix, got {uri!r}")
    return match[1], (match[2] or "").strip("/")
