"""BSDS500 without CBSD68 for training, CBSD68 for test."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.common.errors import UserError
from pipeline.common.files import writing
from pipeline.common.progress import count
from pipeline.sources.archives import extract
from pipeline.sources.cbsd68 import Cbsd68, cbsd68
from pipeline.sources.download import PATIENCE, Patience, Remote, download
from pipeline.sources.source import Report

BSDS500 = Remote(
    url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz",
    name="BSR_bsds500.tgz",
    bytes=70763455,
    sha256="97e49d31764f3912f0c4122707d53062ac9e783ba0f095e447a4d53c1a41af8e",
)
_PHOTO = re.compile(r"(?:.*/)?images/(?:train|val|test)/(\d+)\.jpg")


@dataclass(frozen=True, kw_only=True)
class BsdsSource:
    """BSDS500 (Arbelaez et al. 2011): 422 photos to train on, 10 to validate, and CBSD68 to test.

    The 432 photos that are not in CBSD68 are ordered by their number; the ten highest validate.

    Args:
        cache: where the downloads are kept.
        archive: BSDS500 as a tar file.
        test: the test photos, by number left out of training.
        valid: number of validation photos.
        patience: of the downloads.
    """

    cache: Path
    archive: Remote = BSDS500
    test: Cbsd68 = field(default_factory=cbsd68)
    valid: int = 10
    patience: Patience = PATIENCE

    def fetch(self, into: Path, report: Report) -> None:
        """See `Source.fetch`.

        Raises:
            UserError: a download fails or is not the expected file, or the photos cannot be written.
        """
        self.test.fetch(into / "test", self.cache, report, self.patience)
        report(f"{self.archive.name} from {self.archive.url}, kept in {self.cache}")
        archive = download(self.archive, self.cache, report, self.patience)
        photos = extract(archive, into, self._wanted)
        if len(photos) <= self.valid:
            raise UserError(
                f"{archive} holds {count(len(photos), 'photo')} to train on: it is not BSDS500; remove it, run again"
            )
        by_number = sorted(photos, key=lambda path: int(path.stem))
        with writing(into / "valid"):
            (into / "valid").mkdir(parents=True, exist_ok=True)
            for path in by_number[-self.valid :]:
                path.rename(into / "valid" / path.name)
        report(f"BSDS500: {len(photos) - self.valid} photos to train on, {self.valid} to validate")

    def _wanted(self, member: PurePosixPath) -> PurePosixPath | None:
        match = _PHOTO.fullmatch(member.as_posix())
        if match is None or match[1] in self.test.bsds_ids:
            return None
        return PurePosixPath("train", member.name)
