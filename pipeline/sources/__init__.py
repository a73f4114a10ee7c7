"""The photos that the pipeline starts from, behind one interface."""

from __future__ import annotations

from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.layout import home
from pipeline.sources.settings import DataConfig
from pipeline.sources.source import SPLITS, Report, Source

__all__ = ["SPLITS", "DataConfig", "Report", "Source", "make_source"]


def make_source(data: DataConfig, root: Path = Path()) -> Source:
    """The source that the parameters name.

    A relative folder is taken from `root`, or, where that is a temporary copy of DVC's without it, from the project.
    Only the chosen one is imported: reading the parameters needs no image library, and only s3 needs boto3.
    """
    cache = home(root) / _expanded(data.cache, "cache")
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

            folder = _expanded(data.folder or "", "folder")
            return FolderSource(root=root / folder if (root / folder).exists() else home(root) / folder)
        case "s3":
            from pipeline.sources.s3 import S3Source

            return S3Source(uri=data.uri or "", cache=cache)


def _expanded(folder: str, name: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise UserError(f"data.{name}: the home folder in {folder!r} is not known ({error}): write it out") from error
