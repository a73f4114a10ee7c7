"""The command line of `python -m infra.bucket`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from infra.bucket.bringing import Outcome, State, bring, exists, make
from infra.bucket.errors import explained
from infra.bucket.place import Place, read_place
from infra.bucket.roles import ROLES, policy
from infra.bucket.settings import NAMES, all_settings
from infra.bucket.wanted import Days
from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json
from pipeline.common.progress import say
from pipeline.common.told import told

_FAILED = (State.MISSING, State.REFUSED)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 when all is as wanted, 1 when something required is not, 2 for a mistake that the user can mend.
    """
    arguments = _parser().parse_args(argv)
    again = "interrupted; run it again, it goes on where it stopped"
    return told("bucket", lambda: _run(arguments), interrupted=again)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.bucket",
        description=(
            "Make an S3 bucket, or bring one to what is wanted: encrypted, closed to the public, TLS only, versioned, "
            "with old checkpoints, old versions and broken uploads removed in time. What others have set stays. Keys "
            "come from the environment or a profile, as boto3 finds them; they never stand on the command line."
        ),
        epilog=(
            "Example: python -m infra.bucket s3://my-team-tatsnet/tatsnet --region eu-central-1 --dry-run; "
            "the policy of one role: python -m infra.bucket s3://my-team-tatsnet/tatsnet --policy worker"
        ),
    )
    parser.add_argument("uri", metavar="s3://NAME/PREFIX", help="the bucket, and the prefix of this project in it")
    parser.add_argument("--region", help="where a new bucket is made (default: AWS_REGION or the profile's)")
    parser.add_argument("--endpoint-url", help="another server than AWS (default: AWS_ENDPOINT_URL)")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
    parser.add_argument(
        "--allow-missing",
        action="append",
        default=[],
        metavar="NAME",
        choices=NAMES,
        help=f"go on without this setting; may be given more than once ({', '.join(NAMES)})",
    )
    days = Days()
    for name, default, text in (
        ("--checkpoint-days", days.checkpoints, "PREFIX/checkpoints expires this many days after it was written"),
        ("--version-days", days.versions, "what was overwritten or deleted can be had back for this many days"),
        ("--upload-days", days.uploads, "parts of uploads that never ended are removed after this many days"),
    ):
        parser.add_argument(name, type=int, default=default, metavar="DAYS", help=f"{text} (default: %(default)s)")
    parser.add_argument(
        "--policies", type=Path, metavar="FOLDER", help="write each role's IAM policy there as ROLE.json"
    )
    parser.add_argument("--policy", choices=sorted(ROLES), help="only print this role's IAM policy; asks no server")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    endpoint = arguments.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    days = Days(checkpoints=arguments.checkpoint_days, versions=arguments.version_days, uploads=arguments.upload_days)
    with explained(f"cannot use {arguments.uri}", endpoint):
        session = boto3.session.Session()
        region = arguments.region or session.region_name or ("us-east-1" if endpoint else None)
        place = read_place(arguments.uri, _partition(session, region))
    if arguments.policy:
        print(json.dumps(policy(place, ROLES[arguments.policy]), indent=2))
        return 0
    if region is None:
        raise UserError("no region is named: add --region, as --region eu-central-1, or set AWS_REGION")
    with explained(f"cannot use {arguments.uri}", endpoint):
        client = _client(session, region, endpoint)
    say(f"{place.uri} at {endpoint or f'AWS, region {region}'}{' (dry run)' if arguments.dry_run else ''}")
    outcomes = _bucket(client, place, region, endpoint, arguments.dry_run)
    for outcome in outcomes:
        _tell(outcome)
    if outcomes[0].state is not State.TO_CHANGE:
        for outcome in bring(client, place, all_settings(days), endpoint, arguments.dry_run):
            _tell(outcome)
            outcomes.append(outcome)
    else:
        for setting in all_settings(days):
            outcomes.append(Outcome(name=setting.name, state=State.TO_CHANGE, text=setting.text))
            _tell(outcomes[-1])
    _policies(place, arguments.policies, arguments.dry_run)
    return _ended(outcomes, arguments.allow_missing)


def _partition(session: Any, region: str | None) -> str:
    if region is None:
        return "aws"
    try:
        return str(session.get_partition_for_region(region))
    except BotoCoreError:  # a region of another server than AWS
        return "aws"


def _client(session: Any, region: str, endpoint: str | None) -> Any:
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"total_max_attempts": 3, "mode": "standard"},
        s3={"addressing_style": "path"} if endpoint else {},
    )
    return session.client("s3", region_name=region, endpoint_url=endpoint, config=config)


def _bucket(client: Any, place: Place, region: str, endpoint: str | None, dry_run: bool) -> list[Outcome]:
    if exists(client, place, endpoint):
        return [Outcome(name="bucket", state=State.AS_WANTED, text="is there")]
    if dry_run:
        return [Outcome(name="bucket", state=State.TO_CHANGE, text=f"is made in {region}")]
    make(client, place, region, endpoint)
    return [Outcome(name="bucket", state=State.CHANGED, text=f"is made in {region}")]


def _tell(outcome: Outcome) -> None:
    say(f"  {outcome.name:<14} {outcome.state.value:<14} {outcome.text}")


def _policies(place: Place, folder: Path | None, dry_run: bool) -> None:
    if folder is None:
        say(f"IAM policies, one per role: --policies FOLDER writes them, --policy ROLE prints one ({', '.join(ROLES)})")
        return
    for name, role in ROLES.items():
        if not dry_run:
            atomic_write_json(folder / f"{name}.json", policy(place, role))
        say(f"  {folder / f'{name}.json'}  {'would be written' if dry_run else 'written'}: for {role.who}")


def _ended(outcomes: Sequence[Outcome], allowed: Sequence[str]) -> int:
    failed = [outcome.name for outcome in outcomes if outcome.state in _FAILED]
    required = [name for name in failed if name not in allowed]
    if required:
        say(
            f"not as wanted: {', '.join(required)}. Mend that, or go on without: "
            + " ".join(f"--allow-missing {name}" for name in required)
        )
        return 1
    without = f", without {', '.join(failed)} as was allowed" if failed else ""
    if any(outcome.state is State.TO_CHANGE for outcome in outcomes):
        say(f"to do: the above{without}; run it without --dry-run")
    elif any(outcome.state is State.CHANGED for outcome in outcomes):
        say(f"done{without}")
    else:
        say(f"nothing to do{without}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
