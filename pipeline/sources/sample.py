"""Photos that ship inside installed packages: no download, the same bytes everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.files import copy_file, sha256_file
from pipeline.sources.source import Report


@dataclass(frozen=True)
class Sample:
    """One photo: its split, the folder that holds it (package first), its name, its sha256."""

    split: str
    folder: str
    name: str
    sha256: str


_SKI = "skimage/data"
_MPL = "matplotlib/mpl-data/sample_data"
_SKL = "sklearn/datasets/images"
SAMPLES = (
    Sample("train", _SKI, "astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    Sample("train", _SKI, "coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    Sample("train", _SKI, "chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
    Sample("train", _SKI, "rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
    Sample("train", _SKI, "motorcycle_left.png", "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179"),
    Sample("valid", _MPL, "grace_hopper.jpg", "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130"),
    Sample("test", _SKL, "china.jpg", "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29"),
    Sample("test", _SKL, "flower.jpg", "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638"),
)
"""As scikit-image 0.26.0, matplotlib 3.11.2 and scikit-learn 1.9.1 ship them."""

_ADVICE = "install the pinned versions again with: pip install --force-reinstall --no-deps -c constraints.txt"
_DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


@dataclass(frozen=True, kw_only=True)
class SampleSource:
    """Eight colour photos of three installed packages; the packages are found, not imported."""

    samples: tuple[Sample, ...] = SAMPLES

    def fetch(self, into: Path, report: Report) -> None:
        """See `Source.fetch`.

        Raises:
            UserError: a package is missing, or holds another photo than the pinned one.
        """
        for sample in self.samples:
            path = _find(sample)
            copy_file(path, into / sample.split / path.name)
        report(f"{len(self.samples)} sample photos from installed packages")


def _find(sample: Sample) -> Path:
    package, _, folder = sample.folder.partition("/")
    advice = f"{_ADVICE} {_DISTRIBUTIONS.get(package, package)}"
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the sample photos need the package {package}, which is not installed: {advice}")
    path = Path(spec.submodule_search_locations[0]) / folder / sample.name
    if not path.is_file():
        raise UserError(f"the sample photo {path} is missing: {advice}")
    got = sha256_file(path)
    if got != sample.sha256:
        raise UserError(f"the sample photo {path} is not the pinned one (sha256 {got}, not {sample.sha256}): {advice}")
    return path
