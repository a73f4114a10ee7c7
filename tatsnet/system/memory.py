"""Memory that is there: of the machine, and of the container or session that this process runs in."""

from __future__ import annotations

from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
UNKNOWN = 2**62
RESERVE = 64 * 2**20
"""Bytes that are left to others."""

_SIZES = ((2**30, "GiB"), (2**20, "MiB"))


class NotEnoughMemoryError(MemoryError):
    """The message says how much is wanted, how much there is, and what to do."""


def check_memory(wanted: int, what: str) -> None:
    """Refuse work that the memory would not suffice for, before it begins.

    Args:
        wanted: bytes that it takes at its fullest.
        what: needs them.

    Raises:
        NotEnoughMemoryError: there are fewer.
    """
    there = available()
    if wanted > there:
        raise NotEnoughMemoryError(
            f"not enough memory: {what} takes about {size(wanted)}, and {size(there)} are free; make it smaller, or "
            "free some memory"
        )


def size(count: int) -> str:
    """Bytes for people: `1.5 GiB`."""
    unit, name = next((pair for pair in _SIZES if count >= pair[0]), _SIZES[-1])
    return f"{count / unit:.1f} {name}"


def available(groups: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Bytes that this process may still take: the least of what the machine, each control group around it and the
    limit on its address space leave; files that the system holds in memory count as free. What a system does not say
    does not count.
    """
    left = [*_machine_left(), *_groups_left(groups, own), *_limit_left()]
    return max(0, min(left, default=UNKNOWN) - RESERVE)


def _machine_left() -> list[int]:
    try:
        return [int(psutil.virtual_memory().available)]
    except Exception:  # psutil reads what containers may hide, and fails in as many ways
        return []


def _groups_left(groups: Path, own: Path) -> list[int]:
    """What the control groups (version 2, and version 1's memory groups) leave; nothing where there are none."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0":
            root, limit, used, reclaimable = groups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in names.split(","):
            root = groups / "memory"
            limit, used, reclaimable = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                left += _left(folder, limit, used, reclaimable)
    return left


def _left(folder: Path, limit: str, used: str, reclaimable: str) -> list[int]:
    try:
        most = int((folder / limit).read_text(encoding="ascii"))
        taken = int((folder / used).read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such group, or "max"
        return []
    try:
        counts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        taken -= int(counts.get(reclaimable, 0))
    except (OSError, ValueError):
        pass
    return [max(0, most - taken)]


def _limit_left() -> list[int]:
    """What `ulimit -v` leaves; nothing where there is no such limit or no such system call."""
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft == resource.RLIM_INFINITY:
            return []
        return [max(0, int(soft) - int(psutil.Process().memory_info().vms))]
    except Exception:  # no such limit here, or nothing that says how much is taken
        return []
