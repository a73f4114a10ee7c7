"""`ray start` on 127.0.0.1 itself: asked for that, Ray takes the machine's address in its network and listens on all.

Ray's own switch for this (`OFF_THE_NETWORK`, meant for other systems) does it for drivers and heads, but with it a
worker node refuses to start. Run by `infra.box.ray` as a process of its own; nothing imports its `main`.
"""

from __future__ import annotations

import sys

OFF_THE_NETWORK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def main() -> int:
    """`ray` with this command line, and with 127.0.0.1 as this machine's only address."""
    from ray._private import services
    from ray.scripts import scripts

    services.get_node_ip_address = lambda address=None: "127.0.0.1"
    return int(scripts.main() or 0)


if __name__ == "__main__":
    sys.exit(main())
