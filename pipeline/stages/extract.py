"""Stage extract: physically small networks of the picks, each proved equal to its masked twin."""

from __future__ import annotations

import shutil

from pipeline.common.errors import UserError
from pipeline.common.files import fresh_folder, read_json
from pipeline.common.layout import PRUNED, SELECTED_FILE, TUNED, WEIGHTS
from pipeline.common.progress import say
from pipeline.stages.runner import Context, Stage, main
from tatsnet.method.checkpoint import load_masked
from tatsnet.pruned.extraction import NotEqual, extract


def work(context: Context) -> None:
    """Write `models/pruned/NAME` for every pick; picks of one trial are one network under several names."""
    picks = read_json(context.root / SELECTED_FILE, "run the stage again: dvc repro --force select")["picks"]
    first: dict[int, str] = {}
    with fresh_folder(context.root / PRUNED) as folder:
        for pick in picks:
            name, trial = pick["name"], pick["trial"]
            if trial in first:
                shutil.copytree(folder / first[trial], folder / name)
                say(f"extract  {name} is the same network as {first[trial]}")
                continue
            first[trial] = name
            model = load_masked(context.root / TUNED / f"{trial:04d}" / WEIGHTS)
            try:
                report = extract(model, folder / name)
            except (NotEqual, ValueError) as error:
                raise UserError(f"{name} (trial {trial}) was not written: {error}") from error
            context.run.metrics({f"difference_{name}": report.difference})
            say(
                f"extract  {name}: {len(report.architecture.patterns)} patterns, "
                f"{report.architecture.shared_percent:.0f} % shared; "
                f"largest difference to the masked network {report.difference:.1e}"
            )


STAGE = Stage(
    name="extract",
    summary="writes the picks as physically small networks",
    upstream=("select", "finetune"),
    sections=lambda params: {},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
