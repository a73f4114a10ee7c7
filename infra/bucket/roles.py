"""One IAM policy per role: what it may do, on which keys, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.bucket.place import CHECKPOINTS, DATA, DVC, MLFLOW, NETWORKS, SHARED, Place

_READ = ("s3:GetObject",)
_WRITE = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
_DELETE = ("s3:DeleteObject",)


@dataclass(frozen=True, kw_only=True)
class Role:
    """Who it is, and the folders below the prefix that it reads, writes, and deletes from."""

    name: str
    who: str
    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    deletes: Sequence[str] = ()

    @property
    def folders(self) -> list[str]:
        """All folders that it touches, sorted."""
        return sorted({*self.reads, *self.writes, *self.deletes})


_TRAINED = (CHECKPOINTS, NETWORKS)
ROLES: Mapping[str, Role] = {
    role.name: role
    for role in (
        Role(name="worker", who="nodes that train", reads=(DATA, SHARED, *_TRAINED), writes=_TRAINED, deletes=_TRAINED),
        Role(
            name="driver",
            who="where `dvc repro` runs",
            reads=(DATA, SHARED, *_TRAINED),
            writes=(SHARED,),
            deletes=(CHECKPOINTS,),
        ),
        Role(name="mlflow", who="the tracking server", reads=(MLFLOW,), writes=(MLFLOW,), deletes=(MLFLOW,)),
        Role(name="dvc", who="`dvc push` and `dvc pull`", reads=(DVC,), writes=(DVC,)),
    )
}


def policy(place: Place, role: Role) -> dict[str, Any]:
    """The role's IAM policy document.

    The bucket can be listed below the role's own folders only. No role may touch the bucket's settings, read older
    versions, or delete one for good; `dvc` deletes nothing, so `dvc gc --cloud` needs other keys.
    """
    keys = [f"{place.below(folder)}/" for folder in role.folders]
    statements: list[dict[str, Any]] = [
        # By this s3fs sees that the bucket is there; without it, it would try to make it.
        {"Sid": "Locate", "Effect": "Allow", "Action": ["s3:GetBucketLocation"], "Resource": [place.arn]},
        {
            "Sid": "List",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [place.arn],
            "Condition": {
                "StringLike": {"s3:prefix": sorted([key[:-1] for key in keys] + [f"{key}*" for key in keys])}
            },
        },
    ]
    for sid, actions, folders in (
        ("Read", _READ, role.reads),
        ("Write", _WRITE, role.writes),
        ("Delete", _DELETE, role.deletes),
    ):
        if folders:
            resources = [f"{place.arn}/{place.below(folder)}/*" for folder in sorted(folders)]
            statements.append({"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resources})
    return {"Version": "2012-10-17", "Statement": statements}
