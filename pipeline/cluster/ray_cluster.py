"""The Ray cluster that a search runs on: the one that RAY_ADDRESS names, or one of this machine's own."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import ray
from ray.exceptions import AuthenticationError

import pipeline
import tatsnet
from pipeline.cluster.nodes import check_nodes
from pipeline.cluster.ray_auth import cluster_address
from pipeline.common.errors import UserError
from pipeline.common.private_folder import PrivateFolder
from pipeline.config import Resources


def require_answer(address: str, patience_s: float = 5.0) -> None:
    """Refuse at once a cluster address where nobody listens: Ray itself would try for minutes.

    Args:
        address: as RAY_ADDRESS holds it; one without a port (`auto`) is left to Ray.

    Raises:
        UserError: nobody listens there.
    """
    place = re.fullmatch(r"(?:\w+://)?\[?([^/\[\]]+)\]?:(\d{1,5})", address)
    if place is None:
        return
    try:
        socket.create_connection((place[1], int(place[2])), timeout=patience_s).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error}): start it, or unset RAY_ADDRESS to search here"
        ) from error


def own_code() -> dict[str, object]:
    """A runtime environment with this very code, so that every node runs what the driver runs."""
    return {"py_modules": [str(Path(next(iter(package.__path__)))) for package in (pipeline, tatsnet)]}


def connect(resources: Resources) -> Callable[[], None]:
    """Join the cluster that RAY_ADDRESS names, or start one here with the dashboard off; returns what ends it.

    Raises:
        UserError: no cluster answers there, a node of it lacks packages, or one trial needs more than this machine has.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # nobody reads Tune's own logs,
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "86400")  # nor its records: the study is the state
    logging.getLogger("ray.tune.execution.tune_controller").setLevel(logging.CRITICAL)  # tracebacks; `Losses` tells
    address = cluster_address()
    if address:
        require_answer(address)
    private = None if address else PrivateFolder()  # Ray opens its own folder in it to everyone
    at_sigterm = signal.getsignal(signal.SIGTERM)
    quiet = {"log_to_driver": False, "configure_logging": True, "logging_level": "ERROR"}
    try:
        if address:
            ray.init(address=address, runtime_env=own_code(), **quiet)
        else:
            assert private is not None
            # Ray would kill workers when other programs fill the memory, in a way that Tune does not survive.
            os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
            ray.init(address="local", include_dashboard=False, _temp_dir=str(private.path / "ray"), **quiet)
    except (OSError, ImportError, ValueError, RuntimeError, AuthenticationError) as error:
        if private:
            private.remove()
            raise UserError(
                f"cannot start a local Ray: {error}; look at the memory, the processes and the folder for temporary "
                f"files ({private.path.parent}) of this machine, then run again"
            ) from error
        raise UserError(
            f"cannot use the Ray cluster at RAY_ADDRESS={address}: {error}; if it asks for a token, set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to what `ray get-auth-token` prints on its head; it must run Ray "
            f"{ray.__version__} as here; or unset RAY_ADDRESS to search here"
        ) from error
    signal.signal(signal.SIGTERM, at_sigterm)  # Ray's own way to end is an abort

    def end() -> None:
        ray.shutdown()
        if private:
            private.remove()

    if address:
        try:
            check_nodes()
        except UserError:
            end()
            raise
    have = ray.cluster_resources()
    need = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    for kind, amount in need.items():
        if amount > have.get(kind, 0.0) and not address:
            end()
            raise UserError(
                f"search.resources: a trial asks for {amount:g} {kind}, this machine has {have.get(kind, 0.0):g}: "
                f"lower {kind.lower()}s_per_trial, or set RAY_ADDRESS to a cluster that has them"
            )
    return end
