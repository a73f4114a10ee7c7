"""The AWS files, as far as they can be judged without an account: Ray's own schema, and the rules that matter."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml


class Intrinsic(yaml.SafeLoader):
    """Reads CloudFormation's `!Ref x` as {"!Ref": x}."""


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    assert isinstance(node, yaml.ScalarNode)
    return {f"!{suffix}": loader.construct_scalar(node)}


Intrinsic.add_multi_constructor("!", _tagged)


@pytest.fixture(scope="module")
def cluster(root: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((root / "infra/aws/cluster.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def ground(root: Path) -> dict[str, Any]:
    return dict(yaml.load((root / "infra/aws/ground.yaml").read_text(encoding="utf-8"), Loader=Intrinsic))


def _actions(statement: dict[str, Any]) -> set[str]:
    actions = statement["Action"]
    return {actions} if isinstance(actions, str) else set(actions)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found = find_spec("ray")
    assert found is not None
    assert found.origin is not None
    return dict(json.loads((Path(found.origin).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8")))


def node_types(cluster: dict[str, Any]) -> dict[str, Any]:
    return dict(cluster["available_node_types"])


class TestCluster:
    def test_it_keeps_to_ray_s_schema(self, cluster: dict[str, Any], schema: dict[str, Any]) -> None:
        jsonschema.validate(cluster, schema)

    @pytest.mark.parametrize(
        "change", [{"max_wrkers": 1}, {"max_workers": "8"}, {"docker": {"imagee": "x"}}, {"cluster_name": None}]
    )
    def test_the_schema_would_catch_a_mistake(
        self, cluster: dict[str, Any], schema: dict[str, Any], change: dict[str, Any]
    ) -> None:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(cluster | change, schema)

    def test_the_head_stays_and_the_workers_are_spot(self, cluster: dict[str, Any]) -> None:
        head, worker = node_types(cluster)["head"], node_types(cluster)["gpu"]
        assert "InstanceMarketOptions" not in head["node_config"]
        assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert (head["max_workers"], worker["min_workers"], worker["resources"]["GPU"]) == (0, 0, 1)
        assert head["resources"] == {"CPU": 0}
        assert worker["max_workers"] <= cluster["max_workers"]

    def test_no_node_gets_ray_s_own_open_security_group_or_its_wide_role(self, cluster: dict[str, Any]) -> None:
        """Where these are left out Ray makes them: SSH from 0.0.0.0/0, full access to EC2 and S3."""
        for node in node_types(cluster).values():
            assert node["node_config"]["SecurityGroupIds"]
            assert node["node_config"]["IamInstanceProfile"]
        assert "security_group" not in cluster["provider"]

    def test_every_node_names_its_image(self, cluster: dict[str, Any], ground: dict[str, Any]) -> None:
        """Ray's own default is Ubuntu 18.04, whose driver is too old for the CUDA of the project's image."""
        assert "Image" in ground["Outputs"]
        assert all(node["node_config"]["ImageId"].startswith("ami-") for node in node_types(cluster).values())

    def test_disks_are_encrypted_and_metadata_asks_for_a_token(self, cluster: dict[str, Any]) -> None:
        for node in node_types(cluster).values():
            config = node["node_config"]
            assert config["MetadataOptions"]["HttpTokens"] == "required"
            assert all(disk["Ebs"]["Encrypted"] for disk in config["BlockDeviceMappings"])

    def test_every_node_asks_for_the_token_and_no_dashboard_is_open(self, cluster: dict[str, Any]) -> None:
        assert "--env=RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
        assert cluster["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
        starts = [
            line
            for line in cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
            if "ray start" in line
        ]
        assert len(starts) == 2
        assert "--include-dashboard=false" in starts[0]
        assert not [line for line in starts if "0.0.0.0" in line or "dashboard-host" in line]


class TestGround:
    def test_it_has_no_aliases_which_cloudformation_refuses(self, root: Path) -> None:
        events = yaml.parse((root / "infra/aws/ground.yaml").read_text(encoding="utf-8"), Loader=Intrinsic)
        assert not [event for event in events if isinstance(event, yaml.AliasEvent)]

    def test_both_roles_are_taken_by_instances_only(self, ground: dict[str, Any]) -> None:
        for role in ("HeadRole", "WorkerRole"):
            (statement,) = ground["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            assert statement == {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }

    def test_ssh_comes_from_one_range_and_all_else_from_the_nodes(self, ground: dict[str, Any]) -> None:
        resources = ground["Resources"]
        ingress = resources["Nodes"]["Properties"]["SecurityGroupIngress"]
        assert [(rule["FromPort"], rule["ToPort"], rule["CidrIp"]) for rule in ingress] == [
            (22, 22, {"!Ref": "SshFrom"})
        ]
        rules = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::EC2::SecurityGroupIngress"]
        assert [rule["SourceSecurityGroupId"] for rule in rules] == [{"!Ref": "Nodes"}]
        assert not [rule for rule in rules if "CidrIp" in rule]

    @pytest.mark.parametrize(
        ("text", "passes"),
        [("203.0.113.7/32", True), ("10.0.0.0/24", True), ("0.0.0.0/0", False), ("10.0.0.0/8", False), ("::/0", False)],
    )
    def test_a_wide_range_is_refused(self, ground: dict[str, Any], text: str, passes: bool) -> None:
        assert bool(re.search(ground["Parameters"]["SshFrom"]["AllowedPattern"], text)) is passes

    def test_the_head_may_stop_its_own_nodes_and_pass_on_one_role(
        self, ground: dict[str, Any], cluster: dict[str, Any]
    ) -> None:
        (policy,) = ground["Resources"]["HeadRole"]["Properties"]["Policies"]
        by_action: dict[str, Any] = {}
        for statement in policy["PolicyDocument"]["Statement"]:
            by_action |= dict.fromkeys(_actions(statement), statement)
        assert not [action for action in by_action if "*" in action]
        own = by_action["ec2:TerminateInstances"]["Condition"]["StringEquals"]
        assert own == {"aws:ResourceTag/ray-cluster-name": cluster["cluster_name"]}
        assert by_action["iam:PassRole"]["Resource"] == {"!GetAtt": "WorkerRole.Arn"}
        wide = {action for action, one in by_action.items() if one["Resource"] == "*"}
        assert {action for action in wide if not action.startswith("ec2:Describe")} == {"ec2:RunInstances"}

    def test_no_foreign_instance_becomes_the_cluster_s_by_a_tag(
        self, ground: dict[str, Any], cluster: dict[str, Any]
    ) -> None:
        """Its own tag is what lets the head stop an instance: it tags what it starts, and what has that tag."""
        own = {"aws:ResourceTag/ray-cluster-name": cluster["cluster_name"]}
        statements = [
            statement
            for role in ("HeadRole", "WorkerRole")
            for policy in ground["Resources"][role]["Properties"].get("Policies", ())
            for statement in policy["PolicyDocument"]["Statement"]
            if {"ec2:CreateTags", "ec2:DeleteTags", "ec2:*"} & _actions(statement)
        ]
        assert [statement["Condition"] for statement in statements] == [
            {"StringEquals": {"ec2:CreateAction": "RunInstances"}},
            {"StringEquals": own},
        ]
        assert {statement["Effect"] for statement in statements} == {"Allow"}

    def test_workers_hold_nothing_but_their_bucket_policy(self, ground: dict[str, Any]) -> None:
        role = ground["Resources"]["WorkerRole"]["Properties"]
        assert role["ManagedPolicyArns"] == [{"!Ref": "WorkerPolicy"}]
        assert "Policies" not in role
