"""DIV2K for training and validation, CBSD68 for test: the paper's setting."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.common.errors import UserError
from pipeline.common.progress import count
from pipeline.sources.archives import extract
from pipeline.sources.cbsd68 import Cbsd68, cbsd68
from pipeline.sources.download import PATIENCE, Patience, Remote, download
from pipeline.sources.source import Report

TRAIN = Remote(
    url="https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_train_HR.zip",
    name="DIV2K_train_HR.zip",
    bytes=3530603713,
    sha256="9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335",
)
VALID = Remote(
    url="https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_valid_HR.zip",
    name="DIV2K_valid_HR.zip",
    bytes=448993893,
    sha256="20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc",
)


@dataclass(frozen=True, kw_only=True)
class Div2kSource:
    """DIV2K (Agustsson and Timofte 2017): 800 photos to train on, 100 to validate, and CBSD68 to test.

    Args:
        cache: where the downloads are kept: 4 GB, and the photos take as much again.
        train, valid: the two zip files.
        test: the test photos.
        patience: of the downloads.
    """

    cache: Path
    train: Remote = TRAIN
    valid: Remote = VALID
    test: Cbsd68 = field(default_factory=cbsd68)
    patience: Patience = PATIENCE

    def fetch(self, into: Path, report: Report) -> None:
        """See `Source.fetch`.

        Raises:
            UserError: a download fails or is not the expected file, or the photos cannot be written.
        """
        self.test.fetch(into / "test", self.cache, report, self.patience)
        for split, remote in (("valid", self.valid), ("train", self.train)):
            report(f"{remote.name} from {remote.url}, kept in {self.cache}")
            archive = download(remote, self.cache, report, self.patience)
            photos = extract(archive, into / split, _wanted)
            if not photos:
                raise UserError(f"{archive} holds no PNG photos: it is not DIV2K; remove it, run again")
            report(f"DIV2K: {count(len(photos), 'photo')} in {split}")


def _wanted(member: PurePosixPath) -> PurePosixPath | None:
    return PurePosixPath(member.name) if member.suffix == ".png" and not member.name.startswith(".") else None
