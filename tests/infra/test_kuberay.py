"""The manifests for Kubernetes: typed checks of the fields that matter. KubeRay's own schema is not here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def documents(root: Path) -> list[dict[str, Any]]:
    files = sorted((root / "infra/kuberay").glob("*.yaml"))
    return [one for path in files for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def job(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [one for one in documents if one["kind"] == "RayJob"]
    return found


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


def head(job: dict[str, Any]) -> dict[str, Any]:
    return dict(job["spec"]["rayClusterSpec"]["headGroupSpec"])


def workers(job: dict[str, Any]) -> dict[str, Any]:
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    return dict(group)


def templates(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (head(job)["template"], workers(job)["template"], job["spec"]["submitterPodTemplate"])


def test_every_document_says_what_it_is_and_lives_in_one_namespace(documents: list[dict[str, Any]]) -> None:
    kinds = {"RayJob": "ray.io/v1", "NetworkPolicy": "networking.k8s.io/v1", "ServiceAccount": "v1", "Namespace": "v1"}
    assert {(one["kind"], one["apiVersion"]) for one in documents} == set(kinds.items())
    assert {one["metadata"].get("namespace", "tatsnet") for one in documents} == {"tatsnet"}


def test_the_job_s_fields_have_the_types_of_kuberay_s_api(job: dict[str, Any]) -> None:
    spec = job["spec"]
    types = {
        "entrypoint": str,
        "shutdownAfterJobFinishes": bool,
        "ttlSecondsAfterFinished": int,
        "activeDeadlineSeconds": int,
        "backoffLimit": int,
        "submissionMode": str,
        "submitterPodTemplate": dict,
        "rayClusterSpec": dict,
    }
    assert {name: type(value) for name, value in spec.items()} == types
    assert spec["submissionMode"] in ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
    cluster = spec["rayClusterSpec"]
    assert set(cluster) == {
        "rayVersion",
        "authOptions",
        "enableInTreeAutoscaling",
        "autoscalerOptions",
        "headGroupSpec",
        "workerGroupSpecs",
    }
    group = workers(job)
    assert [type(group[name]) for name in ("groupName", "replicas", "minReplicas", "maxReplicas")] == [
        str,
        int,
        int,
        int,
    ]
    for params in (head(job)["rayStartParams"], group["rayStartParams"]):
        assert all(isinstance(value, str) for value in params.values()), "rayStartParams is a map of strings"


def test_the_ray_of_the_manifest_is_the_ray_of_the_project(job: dict[str, Any], root: Path) -> None:
    assert f"ray=={job['spec']['rayClusterSpec']['rayVersion']}\n" in (root / "constraints.txt").read_text("utf-8")


def test_every_pod_asks_for_the_token_and_the_head_is_not_open(job: dict[str, Any]) -> None:
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert head(job)["serviceType"] == "ClusterIP"


def test_the_head_trains_nothing_and_the_workers_come_and_go(job: dict[str, Any]) -> None:
    assert head(job)["rayStartParams"]["num-cpus"] == "0"
    assert job["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"] is True
    group = workers(job)
    assert group["minReplicas"] == 0 < group["maxReplicas"]


def test_workers_ask_for_a_gpu_and_bear_spot_nodes(job: dict[str, Any]) -> None:
    pod = workers(job)["template"]["spec"]
    resources = pod["containers"][0]["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "1"
    keys = {toleration["key"] for toleration in pod["tolerations"]}
    assert {"nvidia.com/gpu", "cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority"} <= keys
    assert pod["terminationGracePeriodSeconds"] >= 60


def test_every_container_says_what_it_needs_and_has_no_rights(job: dict[str, Any]) -> None:
    for template in templates(job):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        for container in pod["containers"]:
            assert set(container["resources"]["requests"]) >= {"cpu", "memory"}
            assert container["resources"]["limits"]["memory"]
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
        mounts = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", ())}
        assert mounts == {volume["name"] for volume in pod.get("volumes", ())}


def test_passwords_come_from_secrets(job: dict[str, Any]) -> None:
    (container,) = head(job)["template"]["spec"]["containers"]
    from_secrets = {one["name"] for one in container["env"] if "secretKeyRef" in one.get("valueFrom", {})}
    assert from_secrets == {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "TATSNET_STUDY"}
    assert not [one["name"] for one in container["env"] if one["name"].startswith(("AWS_ACCESS", "AWS_SECRET"))]


def test_the_pods_accounts_are_there(job: dict[str, Any], documents: list[dict[str, Any]]) -> None:
    used = {template["spec"].get("serviceAccountName") for template in templates(job)} - {None}
    assert used == set(of_kind(documents, "ServiceAccount"))


def test_nobody_but_the_cluster_and_its_operator_reaches_the_pods(
    job: dict[str, Any], documents: list[dict[str, Any]]
) -> None:
    (policy,) = of_kind(documents, "NetworkPolicy").values()
    labels = policy["spec"]["podSelector"]["matchLabels"]
    for template in templates(job):
        assert labels.items() <= template["metadata"]["labels"].items()
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    rules = policy["spec"]["ingress"]
    assert all(rule["from"] for rule in rules), "a rule without `from` lets everyone in"
    assert not [peer for rule in rules for peer in rule["from"] if "ipBlock" in peer]
