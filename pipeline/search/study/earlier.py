"""Finished trials of this project's searches, the last one's and earlier ones': where each one's network lies.

The last search left its networks in `search/trials`. Those of earlier ones, and of one that still runs, lie in the
store, and their figures in the study's database (`.state/search`, TATSNET_STORE, TATSNET_STUDY).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage

from pipeline.cluster.store import Store
from pipeline.common.errors import UserError
from pipeline.common.files import read_json, some_of
from pipeline.common.layout import ARCHITECTURE, TRIALS, TRIALS_FILE, WEIGHTS
from pipeline.search.study.identity import searches, shared_studies
from pipeline.search.study.ledger import ended_records, sqlite
from pipeline.search.study.opening import place_of_store

SHOWN = 8
"""Letters of a study's key that people are shown; any beginning that names one study is taken."""


@dataclass(frozen=True, kw_only=True)
class FinishedTrial:
    """A trial that was trained to its end.

    Attributes:
        study: key of the study that it belongs to.
        row: as in `search/trials.json`: number, variant, what was searched over, `metrics`.
        folder: that holds its network; None where only the store has it.
        store: place of the store.
    """

    study: str
    row: dict[str, Any]
    folder: Path | None
    store: str

    def fetch(self, into: Path) -> None:
        """Copy the network's weights and architecture into a folder.

        Raises:
            UserError: they are gone, or the store does not answer.
        """
        try:
            if self.folder and (self.folder / WEIGHTS).is_file():
                for name in (WEIGHTS, ARCHITECTURE):
                    shutil.copy2(self.folder / name, into / name)
            else:
                Store(self.store, self.study).get(self.row["metrics"]["key"], into)
        except FileNotFoundError as error:
            raise UserError(
                f"the network of trial {self.row['number']} of study {self.study[:SHOWN]} is gone ({error}): "
                "bring back search/trials (`dvc pull search`) or the store (TATSNET_STORE), or run `dvc repro search`"
            ) from error


def finished_trial(root: Path, number: int, study: str = "") -> FinishedTrial:
    """A finished trial by its number.

    Args:
        root: the project folder.
        study: beginning of the study's key; empty is the search that ended last, or else the one that began last.

    Raises:
        UserError: no such study, several that begin so, or no such trial that finished.
    """
    state = searches(root)
    ended = read_json(root / TRIALS_FILE) if (root / TRIALS_FILE).is_file() else {}
    if ended and str(ended["study"]).startswith(study):
        name, rows = str(ended["study"]), ended["trials"]
    else:
        name, storage = _study(state, study)
        rows = ended_records(storage, name)
    row = _row(rows, number, name)
    place = root / TRIALS / str(row["folder"]) if row.get("folder") else None
    return FinishedTrial(study=name, row=row, folder=place, store=place_of_store(name, state))


def _row(rows: list[dict[str, Any]], number: int, study: str) -> dict[str, Any]:
    finished = [row["number"] for row in rows if row["state"] == "finished"]
    found = next((row for row in rows if row["number"] == number), None)
    if found and found["state"] == "finished":
        return found
    end = f"{found['state']}: {found['reason'] or 'no reason is known'}" if found else "not there, or not ended yet"
    raise UserError(
        f"trial {number} of study {study[:SHOWN]} is {end}. Finished trials: "
        f"{some_of([str(one) for one in sorted(finished)], 40) if finished else 'none'}"
    )


def _study(state: Path, wanted: str) -> tuple[str, BaseStorage]:
    """Name and storage of the study whose name begins so; without a beginning the newest on this disk."""
    shared = shared_studies()
    if shared:
        names = [study.study_name for study in shared.get_all_studies()]
    else:
        files = sorted(state.glob("*/study.db"), key=lambda path: path.stat().st_mtime, reverse=True)
        names = [path.parent.name for path in files]
    if not names:
        raise UserError(
            f"no search has been run: neither {TRIALS_FILE} nor a study of {state} is there; dvc repro search"
        )
    fitting = [name for name in names if name.startswith(wanted)]
    if not wanted and not shared:
        fitting = fitting[:1]
    if len(fitting) != 1:
        said = "no study begins" if not fitting else f"{len(fitting)} studies begin"
        raise UserError(
            f"{said} with {wanted!r}; there are {some_of([name[:SHOWN] for name in names])}: name one by --study"
        )
    return fitting[0], shared or sqlite(state / fitting[0] / "study.db")
