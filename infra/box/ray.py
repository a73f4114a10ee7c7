"""A Ray cluster of three nodes on one machine: a head that trains nothing, and two workers; a token, no dashboard."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.box.folder import Folder
from infra.box.ray_node import OFF_THE_NETWORK
from pipeline.common.private_folder import short_base

HEAD = "ray-head"
WORKERS = ("ray-worker-1", "ray-worker-2")
_STARTED = "Ray runtime started"
_STORE_BYTES = 512 << 20


@dataclass(frozen=True)
class Ray:
    """How the nodes are started.

    Args:
        folder: the box.
        port: of 127.0.0.1, for the head.
        project: the project's folder, which the workers import from.
    """

    folder: Folder
    port: int
    project: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def token(self) -> Path:
        return self.folder.secrets / "ray"

    @property
    def sockets(self) -> Path:
        """A short way to the folder of Ray's files: the paths of its sockets are limited to 107 bytes."""
        name = self.folder.secret("place")[:8]
        return short_base() / f"tatsnet-box-{name}"

    def prepare(self) -> None:
        """Make the token, and the short way."""
        self.folder.secret("ray")
        private = self.folder.path / "ray"
        private.mkdir(exist_ok=True)
        private.chmod(0o700)  # Ray opens the folder of its files to everyone
        (private / "files").mkdir(exist_ok=True)
        self.remove()
        self.sockets.symlink_to(private / "files")

    def remove(self) -> None:
        """Remove the short way."""
        self.sockets.unlink(missing_ok=True)

    def command(self, node: str) -> list[str]:
        ray = [sys.executable, "-m", "infra.box.ray_node", "start"]
        common = ["--node-ip-address=127.0.0.1", f"--object-store-memory={_STORE_BYTES}", "--disable-usage-stats"]
        # Several nodes share one machine: each takes what ports are free.
        common += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0", "--block"]
        # And each would count all of the machine's GPUs as its own.
        common += [] if node == WORKERS[0] else ["--num-gpus=0"]
        if node == HEAD:
            head = [f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={self.sockets}"]
            return [*ray, "--head", *head, *common]
        cpus = max(1, (os.cpu_count() or 1) // len(WORKERS))
        return [*ray, f"--address={self.address}", f"--num-cpus={cpus}", *common]

    @property
    def client_environment(self) -> dict[str, str]:
        """By which a driver joins the cluster."""
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token)}
        return {"RAY_ADDRESS": self.address, **token, **OFF_THE_NETWORK}

    @property
    def environment(self) -> dict[str, str]:
        """Of the nodes, and so of every trial that runs on them."""
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "PYTHONPATH": os.pathsep.join(map(str, (self.project, Path(__file__).parents[2]))),
            "PYTHONUNBUFFERED": "1",
        }

    def is_ready(self, node: str, since: int) -> bool:
        """Whether the node says so in its log.

        Args:
            since: length of the log before the start.
        """
        try:
            return _STARTED in self.folder.log(node).read_bytes()[since:].decode("utf-8", errors="replace")
        except OSError:
            return False
