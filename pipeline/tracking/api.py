"""What the pipeline may ask of a tracker; `NullTracker` and `MlflowTracker` both keep to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A recorded run as it was when it was read; `status` may also be RUNNING."""

    id: str
    name: str
    status: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model as it was when it was read; `source` is where its files lie."""

    model: str
    version: str
    source: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


class Run(Protocol):
    """One recorded run. No method waits for the tracker, or raises because it is away: records wait on disk meanwhile.

    Not safe to share between processes: a worker opens its own tracker and takes the run by its id.
    """

    @property
    def id(self) -> str:
        """The tracker's id of the run; empty where nothing is recorded.

        While the tracker is away it is a local one, which every method here takes as well.
        """

    def params(self, values: Mapping[str, Any]) -> None:
        """Record settings. A key keeps its first value: another one for the same key is refused with a warning."""

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record figures; NaN and infinities are left out."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Set or replace tags."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file, or what a folder holds, into the run's `folder`; it warns if it is missing or too large."""

    def text(self, text: str, name: str) -> None:
        """Keep a text as the artifact `name`, which may hold folders."""

    def json(self, value: Any, name: str) -> None:
        """Keep a JSON value as the artifact `name`."""

    def finish(self, status: Status = "FINISHED") -> None:
        """Close the run; later records are still taken.

        A run without a parent waits some seconds until everything is sent, and says what is left for the next command.
        """


class Tracker(Protocol):
    """An experiment in which runs are recorded. Opened once per process."""

    @property
    def uri(self) -> str:
        """Where the records live; empty where nothing is recorded."""

    @property
    def experiment_id(self) -> str:
        """The tracker's id of the experiment."""

    def start(
        self,
        name: str,
        *,
        stage: str,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        key: str | None = None,
    ) -> Run:
        """Open a run.

        Args:
            name: what the tables show.
            stage: goes into the tag `stage`.
            parent: id of the run under which the tables show this one.
            key: an identity that outlives a process (letters, digits and `._:-`). A run of this experiment with the
                same key is continued, under the new parent and tags, so that a resumed trial keeps one run.

        Raises:
            ValueError: a key with other characters.
        """

    def run(self, run_id: str) -> Run:
        """A run that exists already, to record more in it."""

    def find(self, tags: Mapping[str, str] | None = None) -> list[Found]:
        """Runs of the experiment that carry all these tags, the newest first; none where the tracker is away.

        What was recorded before is sent first.
        """

    def tag_experiment(self, tags: Mapping[str, str]) -> None:
        """Set or replace tags of the experiment itself."""

    def experiment_tags(self) -> Mapping[str, str]:
        """The experiment's tags; none where the tracker is away."""

    def register(
        self,
        run_id: str,
        name: str,
        folder: Path,
        *,
        tags: Mapping[str, str],
        aliases: Sequence[str] = (),
        card: str = "",
    ) -> str:
        """Make an extracted network's folder the newest version of the registered model `name`.

        Registering again makes another version and moves the aliases to it.

        Args:
            run_id: the run that the version belongs to and that keeps its files.
            folder: what `tatsnet.restorer.Restorer.load` reads.
            tags: the network's figures, as text.
            aliases: names by which it can be loaded, as in `models:/tatsnet@knee`.
            card: its description, Markdown; `VERSION` in it becomes the version.

        Returns:
            The version, or an empty string where nothing was recorded.

        Raises:
            FileNotFoundError: there is no such folder.
        """

    def version(self, model: str, which: str) -> Version | None:
        """The version of a registered model with this number or alias; None without one, or where nothing answers."""

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Let an alias point at a version.

        Raises:
            UserError: the tracker does not answer, or refuses.
        """
