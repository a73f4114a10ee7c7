"""`tatsnet models`: the networks that come with the package."""

from __future__ import annotations

from tatsnet.shipped import CARD, DEFAULT, shipped, summary


def models(name: str | None) -> str:
    """A line for each network, or one network's card.

    Raises:
        ValueError: there is no such network.
    """
    known = shipped()
    if name is None:
        lines = [f"{one:10} {summary(folder)}" for one, folder in known.items()]
        return "\n".join([*lines, "", f"The default is {DEFAULT}; `tatsnet models NAME` shows a network's card."])
    if name not in known:
        raise ValueError(f"no network {name!r} comes with the package: there is {', '.join(known)}")
    return (known[name] / CARD).read_text(encoding="utf-8").rstrip()
