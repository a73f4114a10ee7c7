"""Stage download: the clean photos of the chosen source, verified and listed with their sha256."""

from __future__ import annotations

from pipeline.common.files import fresh_folder, write_manifest
from pipeline.common.layout import CLEAN
from pipeline.common.progress import say
from pipeline.sources import SPLITS, make_source
from pipeline.stages.runner import Context, Stage, main


def work(context: Context) -> None:
    """Fetch into `data/clean/{train,valid,test}`."""
    with fresh_folder(context.root / CLEAN) as folder:
        make_source(context.params.data, context.root).fetch(folder, say)
        manifest = write_manifest(folder)
        counts = {split: len(list((folder / split).iterdir())) for split in SPLITS}
    context.run.tags({"dataset.sha256": manifest.dataset_sha256})
    context.run.metrics({f"{split}_photos": float(count) for split, count in counts.items()})
    context.run.artifact(context.root / CLEAN / "manifest.json")
    say("download  " + ", ".join(f"{count} {split}" for split, count in counts.items()) + " photos")


STAGE = Stage(
    name="download",
    summary="gets the photos of the chosen source and verifies them",
    upstream=(),
    sections=lambda params: {"data": params.data},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
