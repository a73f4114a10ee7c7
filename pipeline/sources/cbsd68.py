"""CBSD68, the test photos of the paper: which they are, and where to get them.

They are 68 of the 500 photos of BSDS500, pixel for pixel. The PNG files of the published test set are taken rather
than BSDS500's JPEG files of the same photos: they are lossless, so that every JPEG decoder and version sees the same
pixels, they are what other work measures on, and both sources that test on CBSD68 then hold the same bytes.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.files import copy_file
from pipeline.sources.download import PATIENCE, Patience, Remote, download
from pipeline.sources.source import Report

_TABLE = Path(__file__).with_name("cbsd68.csv")
_URL = (
    "https://raw.githubusercontent.com/clausmichele/CBSD68-dataset/51a07a95884ac7c8bdd5d1614f9da781adc3c4a0"
    "/CBSD68/original_png"
)


@dataclass(frozen=True, kw_only=True)
class Cbsd68:
    """A test set of single files, and the BSDS500 photos that they are.

    Args:
        remotes: the files.
        bsds_ids: numbers of the same photos in BSDS500, which must not be trained on.
    """

    remotes: tuple[Remote, ...]
    bsds_ids: frozenset[str]

    def fetch(self, into: Path, cache: Path, report: Report, patience: Patience = PATIENCE) -> None:
        """Copy the files into `into`, by way of the cache.

        Raises:
            UserError: as `download`.
        """
        for number, remote in enumerate(self.remotes, start=1):
            path = download(remote, cache / "cbsd68", report, patience)
            copy_file(path, into / remote.name)
            if number % 10 == 0 or number == len(self.remotes):
                report(f"CBSD68: {number} of {len(self.remotes)} test photos")


def cbsd68() -> Cbsd68:
    """The published test set: 68 photos, 20.1 MB."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    remotes = tuple(
        Remote(url=f"{_URL}/{row['file']}", name=row["file"], bytes=int(row["bytes"]), sha256=row["sha256"])
        for row in rows
    )
    return Cbsd68(remotes=remotes, bsds_ids=frozenset(row["bsds_id"] for row in rows))
