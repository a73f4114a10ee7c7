"""Whether the nodes of a cluster can do what they are about to be given: looked at before it, not after an hour."""

from __future__ import annotations

import importlib
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.common.errors import UserError
from pipeline.common.progress import say

NEEDED = ("tatsnet.method.training", "tatsnet.quality.control", "pipeline.cluster.stretches", "pipeline.cluster.photos")
"""Modules that import all that a training needs; their code travels to the nodes, what they import does not."""

PATIENCE_S = 120.0
"""A node fetches the code and starts a process first."""


@ray.remote(num_cpus=0, max_retries=0)
def _look() -> dict[str, str]:
    """What is missing here, and the version of PyTorch."""
    try:
        for name in NEEDED:
            importlib.import_module(name)
    except Exception as error:  # a package may raise anything while it is imported
        return {"missing": f"{type(error).__name__}: {error}"}
    return {"torch": torch.__version__}


def check_nodes() -> None:
    """Look at every node that is there.

    Raises:
        UserError: one cannot import what a training needs.
    """
    looks = {}  # several nodes may have one address
    for node in ray.nodes():
        if node["Alive"]:
            where = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
            looks[_look.options(scheduling_strategy=where).remote()] = node["NodeManagerAddress"]
    ready, _ = ray.wait([*looks], num_returns=len(looks), timeout=PATIENCE_S)
    for look in ready:
        _judge(looks[look], look)


def _judge(address: str, look: Any) -> None:
    try:
        found = ray.get(look)
    except ray.exceptions.RayError as error:  # a node that dies now is Ray's affair; one that cannot unpickle is ours
        found = {"missing": str(error).strip().rpartition("\n")[2]} if "ModuleNotFoundError" in str(error) else {}
    if "missing" in found:
        raise UserError(
            f"the node {address} of the cluster cannot train ({found['missing']}): install there what the extra "
            "`pipeline` brings, in the versions of constraints.txt, or take the node out"
        )
    there, here = (version.partition("+")[0] for version in (found.get("torch", ""), torch.__version__))
    if there and there != here:
        say(f"WARNING the node {address} has PyTorch {there}, this machine {here}: results differ in their last digits")
