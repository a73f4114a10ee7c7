"""The image and the servers around MLflow, by their structure: nothing is built here."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

IMAGES = ("infra/Dockerfile", "infra/mlflow/Dockerfile")
KNOWN = {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "CMD"}


@dataclass(frozen=True)
class Instruction:
    name: str
    rest: str


def instructions(path: Path) -> list[Instruction]:
    """A Dockerfile's instructions, with continued lines joined."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in whole.splitlines()]


@pytest.mark.parametrize("image", IMAGES)
class TestImage:
    def test_it_is_made_of_known_instructions(self, root: Path, image: str) -> None:
        found = instructions(root / image)
        assert {one.name for one in found} <= KNOWN
        assert [one.name for one in found][:2] == ["ARG", "FROM"]

    def test_it_does_not_run_as_root(self, root: Path, image: str) -> None:
        names = [one.name for one in instructions(root / image)]
        users = [one.rest for one in instructions(root / image) if one.name == "USER"]
        assert users
        assert users[-1] not in ("root", "0")
        assert names.index("USER") > max(i for i, name in enumerate(names) if name in ("RUN", "COPY"))

    def test_every_package_is_pinned(self, root: Path, image: str) -> None:
        installs = [one.rest for one in instructions(root / image) if "pip install" in one.rest]
        assert installs
        assert all("-c constraints.txt" in line for line in installs)

    def test_what_it_copies_is_there_and_let_through(self, root: Path, image: str) -> None:
        passed = (root / f"{image}.dockerignore").read_text(encoding="utf-8").splitlines()
        assert next(line for line in passed if not line.startswith("#")) == "*"
        for one in instructions(root / image):
            if one.name == "COPY":
                for source in one.rest.split()[:-1]:
                    assert (root / source).exists(), source
                    assert f"!{source}" in passed

    def test_it_carries_no_secret(self, root: Path, image: str) -> None:
        words = re.compile(r"password|secret|token\s*=|key_id", re.IGNORECASE)
        assert not [one for one in instructions(root / image) if one.name in ("ENV", "ARG") and words.search(one.rest)]


def test_the_project_s_image_takes_another_build_of_torch_as_an_argument(root: Path) -> None:
    found = instructions(root / "infra/Dockerfile")
    assert Instruction("ARG", "TORCH_INDEX=") in found
    (line,) = [one.rest for one in found if one.name == "RUN" and one.rest.endswith(" torch")]
    assert '${TORCH_INDEX:+--index-url "$TORCH_INDEX"}' in line


def test_nvidia_s_runtime_gives_the_project_s_image_its_gpus(root: Path) -> None:
    """The image is not derived from one of NVIDIA's, which set this themselves."""
    (line,) = [one.rest for one in instructions(root / "infra/Dockerfile") if one.name == "ENV"]
    assert "NVIDIA_VISIBLE_DEVICES=all" in line.split()


@pytest.fixture(scope="module")
def compose(root: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((root / "infra/mlflow/compose.yaml").read_text(encoding="utf-8")))


class TestCompose:
    def test_only_the_proxy_has_ports(self, compose: dict[str, Any]) -> None:
        ports = {name: service.get("ports") for name, service in compose["services"].items()}
        assert ports == {"caddy": ["80:80", "443:443"], "mlflow": None, "postgres": None}
        assert not [name for name, service in compose["services"].items() if service.get("network_mode")]

    def test_postgres_is_reached_by_mlflow_only(self, compose: dict[str, Any]) -> None:
        networks = {name: set(service["networks"]) for name, service in compose["services"].items()}
        assert networks == {"caddy": {"front"}, "mlflow": {"front", "back"}, "postgres": {"back"}}
        assert compose["networks"]["back"] == {"internal": True}

    def test_passwords_come_from_files_that_git_ignores(self, compose: dict[str, Any], root: Path) -> None:
        for name, secret in compose["secrets"].items():
            assert secret == {"file": f"../../.state/mlflow/{name}"}
        used = {secret for service in compose["services"].values() for secret in service.get("secrets", ())}
        assert used == set(compose["secrets"])
        assert "/.state/" in (root / ".gitignore").read_text(encoding="utf-8").splitlines()
        for service in compose["services"].values():
            for name, value in service.get("environment", {}).items():
                if "PASSWORD" in name or "SECRET" in name:
                    assert name.endswith("_FILE")
                assert not re.search(r"://[^/]*:[^/]*@", value), "a password in an address"

    def test_every_file_that_is_mounted_is_there(self, compose: dict[str, Any], root: Path) -> None:
        folder = root / "infra/mlflow"
        mounts = [volume for service in compose["services"].values() for volume in service.get("volumes", ())]
        for volume in mounts:
            source = volume.split(":")[0]
            assert (folder / source).is_file() if source.startswith(".") else source in compose["volumes"]
            if source.startswith("."):
                assert volume.endswith(":ro")
        build = compose["services"]["mlflow"]["build"]
        assert (folder / build["context"]).resolve() == root
        assert (root / build["dockerfile"]).is_file()

    def test_mlflow_asks_for_accounts_and_answers_to_its_name_only(self, root: Path) -> None:
        start = (root / "infra/mlflow/start.sh").read_text(encoding="utf-8")
        assert "--app-name basic-auth" in start
        assert '--allowed-hosts "$TATSNET_HOST,localhost:5000"' in start
        accounts = ConfigParser()
        accounts.read(root / "infra/mlflow/accounts.ini")
        assert accounts["mlflow"]["default_permission"] == "NO_PERMISSIONS"
        assert "admin_password" not in accounts["mlflow"]

    def test_the_proxy_serves_the_name_over_tls(self, root: Path) -> None:
        text = (root / "infra/mlflow/Caddyfile").read_text(encoding="utf-8")
        assert re.search(r"^\{\$TATSNET_HOST\} \{$", text, re.MULTILINE), "a name without http:// has TLS"
        assert "reverse_proxy mlflow:5000" in text

    @pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker compose, without its daemon")
    def test_docker_compose_reads_it(self, root: Path) -> None:
        command = ["docker", "compose", "-f", "infra/mlflow/compose.yaml", "config", "--quiet"]
        if subprocess.run([*command[:2], "version"], capture_output=True, check=False).returncode:
            pytest.skip("needs the plugin compose")
        names = {
            "TATSNET_HOST": "mlflow.example.org",
            "TATSNET_ARTIFACTS": "s3://name/prefix/mlflow",
            "PATH": "/usr/bin",
        }
        docker = str(shutil.which("docker"))
        done = subprocess.run([docker, *command[1:]], cwd=root, env=names, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["start.sh", "databases.sh"])
def test_the_shell_scripts_are_sound(root: Path, name: str) -> None:
    path = root / "infra/mlflow" / name
    assert "set -eu" in path.read_text(encoding="utf-8")
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0


SECRETS = {
    "a key of AWS": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a long random value": r"\b[0-9a-f]{32,}\b|(?=[^\s]*[0-9])[A-Za-z0-9+/]{40,}={0,2}(?![\w/-])",
    "a password in an address": r"://[^/\s:$]+:[^/\s@$]+@",
    "a password as it stands": r"(?i)(password|secret|token)\s*[:=]\s*['\"]?[A-Za-z0-9]{6,}['\"]?\s*$",
}


@pytest.mark.parametrize("kind", sorted(SECRETS))
def test_no_file_holds_a_secret(root: Path, kind: str) -> None:
    listed = ["git", "-C", str(root), "ls-files", "-z", "--", "infra", "docs/cluster.md"]
    done = subprocess.run(listed, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git repository")
    found = []
    for name in filter(None, done.stdout.split("\0")):
        lines = (root / name).read_text(encoding="utf-8").splitlines()
        found += [f"{name}: {line}" for line in lines if re.search(SECRETS[kind], line)]
    assert not found
