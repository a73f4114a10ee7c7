"""The photos that the pipeline starts from, behind one interface."""

from __future__ import annotations

from pathlib import Path

from pipeline.sources.settings import DataConfig
from pipeline.sources.source import SPLITS, Report, Source

__all__ = ["SPLITS", "DataConfig", "Report", "Source", "make_source"]


def make_source(data: DataConfig) -> Source:
    """The source that the parameters name.

    Only the chosen one is imported: reading the parameters needs no image library, and only s3 needs boto3.
    """
    cache = Path(data.cache).expanduser()
    match data.source:
        case "sample":
            from pipeline.sources.sample import SampleSource

            return SampleSource()
        case "bsds":
            from pipeline.sources.bsds import BsdsSource

            return BsdsSource(cache=cache)
        case "div2k":
            from pipeline.sources.div2k import Div2kSource

            return Div2kSource(cache=cache)
        case "folder":
            from pipeline.sources.folder import FolderSource

            return FolderSource(root=Path(data.folder or "").expanduser())
        case "s3":
            from pipeline.sources.s3 import S3Source

            return S3Source(uri=data.uri or "", cache=cache)
