"""Which study a project's parameters, photos, weights and code make, and where it lies."""

from __future__ import annotations

import os
from pathlib import Path

from optuna.storages import RDBStorage

from pipeline.common.files import read_json, sha256_file
from pipeline.common.keys import code_version
from pipeline.common.layout import CLEAN, STATE, SUPERNET, WEIGHTS, home
from pipeline.config import Params
from pipeline.search.study.kept import StudyKey
from pipeline.search.study.ledger import database


def study_key(root: Path, params: Params) -> StudyKey:
    """What these parameters, photos, weights and code make a study of; more trials continue the same one."""
    search = params.search
    again = "run the stages before search again: dvc repro search"
    parts = {
        "variants": search.variants,
        "schedule": search.schedule,
        "method": search.method,
        "space": search.space,
        "suggestions": search.suggestions,
        "objectives": search.objectives,
        "latency": search.latency if "latency" in search.objectives else None,
        "seed": search.seed,
        "network": params.network,
        "train": params.train,
        "photos": read_json(root / CLEAN / "manifest.json", again)["dataset_sha256"],
        "eval": params.eval,
        "warm": sha256_file(root / SUPERNET / WEIGHTS),
    }
    return StudyKey.of(parts, code_version(*(["runtimes"] if "latency" in search.objectives else [])))


def searches(root: Path) -> Path:
    """The folder of all searches."""
    return home(root) / STATE / "search"


def shared_studies() -> RDBStorage | None:
    """The database that TATSNET_STUDY names; None without."""
    url = os.environ.get("TATSNET_STUDY")
    return database(url) if url else None
