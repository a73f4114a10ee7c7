"""The clusters' files and the profile they run: a worker holds a trial, all workers hold all that run at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.commands.plan import PHOTOS
from pipeline.config import Params, load

PROFILE = "paper"
VCPUS = {"g6.xlarge": 4}
"""Of the instance types that are named, as AWS lists them; each has one GPU."""


@dataclass(frozen=True, kw_only=True)
class Workers:
    cpus: float
    gpus: float
    most: int

    def trials(self, cpus: float, gpus: float) -> int:
        """How many one of them holds."""
        return int(min(self.cpus // cpus, self.gpus // gpus))


def on_aws(root: Path) -> Workers:
    cluster: dict[str, Any] = yaml.safe_load((root / "infra/aws/cluster.yaml").read_text("utf-8"))
    node = cluster["available_node_types"]["gpu"]
    have = node["resources"]
    assert have == {"CPU": VCPUS[node["node_config"]["InstanceType"]], "GPU": 1}
    return Workers(cpus=have["CPU"], gpus=have["GPU"], most=min(node["max_workers"], cluster["max_workers"]))


def on_kubernetes(root: Path) -> Workers:
    """Ray takes a node to have what `rayStartParams` says, and else what the pod's limits or requests say."""
    (job,) = yaml.safe_load_all((root / "infra/kuberay/rayjob.yaml").read_text("utf-8"))
    cluster: dict[str, Any] = job["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    (pod,) = group["template"]["spec"]["containers"]
    amounts = pod["resources"]["requests"] | pod["resources"]["limits"]
    assert not {"num-cpus", "num-gpus", "resources"} & (set(group["rayStartParams"]) | set(group))
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert {"name": "TATSNET_PROFILE", "value": PROFILE} in head["env"]
    return Workers(cpus=float(amounts["cpu"]), gpus=float(amounts["nvidia.com/gpu"]), most=group["maxReplicas"])


@pytest.fixture(scope="module")
def params(root: Path) -> Params:
    return load(root / "profiles" / f"{PROFILE}.yaml")


@pytest.mark.parametrize("workers_of", [on_aws, on_kubernetes])
def test_a_worker_holds_a_trial_and_the_workers_all_that_run_at_a_time(
    workers_of: Any, root: Path, params: Params
) -> None:
    wanted, workers = params.search.resources, workers_of(root)
    a_node = workers.trials(wanted.cpus_per_trial, wanted.gpus_per_trial)
    assert a_node >= 1, "no node could ever take a trial"
    assert a_node * workers.most >= wanted.concurrent


def test_the_loader_of_a_trial_has_a_core_for_each_process(params: Params) -> None:
    assert params.train.workers <= params.search.resources.cpus_per_trial


def gibibytes(text: str) -> float:
    assert text.endswith("Gi")
    return float(text.removesuffix("Gi")) * 2**30


@pytest.mark.parametrize("role", ["head", "worker"])
def test_a_pod_holds_the_photos_in_ray_s_store_and_what_works_beside_them(
    root: Path, params: Params, role: str
) -> None:
    """All are RGB bytes in one array: in the driver, in the head's store, and in each worker's."""
    photos = PHOTOS[params.data.source]
    packed = photos.train * photos.size[0] * photos.size[1] * 3
    (job,) = yaml.safe_load_all((root / "infra/kuberay/rayjob.yaml").read_text("utf-8"))
    cluster = job["spec"]["rayClusterSpec"]
    group = cluster["headGroupSpec"] if role == "head" else cluster["workerGroupSpecs"][0]
    pod = group["template"]["spec"]
    (container,) = pod["containers"]
    (shared,) = [volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "shm"]
    store = int(group["rayStartParams"]["object-store-memory"])
    assert packed < store < gibibytes(shared["sizeLimit"])
    beside = packed if role == "head" else 4e9  # the driver's own copy; a trial's memory
    assert store + beside < gibibytes(container["resources"]["limits"]["memory"])
