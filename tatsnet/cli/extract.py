"""`tatsnet extract`: the physically small network of a training."""

from __future__ import annotations

from pathlib import Path

from tatsnet.cli.errors import CommandError
from tatsnet.data.degradation import GRID
from tatsnet.method.checkpoint import load_masked
from tatsnet.network.flops import effect_cost
from tatsnet.pruned.extraction import HD, NotEqual, extract
from tatsnet.train.run import NETWORK

MIDDLE = (0.5, 0.5, 0.5)


def extract_training(training: Path, folder: Path, *, compact: bool) -> str:
    """Extract the network of a search or fine-tuning; what to print.

    Args:
        compact: keep one task-specific part ready, in place of the 27 effects'; the others are sliced when asked for.

    Raises:
        CommandError: the extracted network differs from the trained one.
        ValueError, OSError: the training or the folder cannot be used.
    """
    model = load_masked(training / NETWORK)
    try:
        report = extract(model, folder, [MIDDLE] if compact else None)
    except NotEqual as error:
        raise CommandError(f"{folder} was not written: {error}") from error
    cost = effect_cost(model.architecture(GRID), *HD, effects=27)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return (
        f"{folder}: {cost.per_effect / cost.dense:.1%} of the dense FLOPs at 27 effects, "
        f"{report.figures['shared_layers_pct']:.0f} % shared, "
        f"{size / 2**20:.1f} MiB; largest difference to the trained network {report.difference:.1e}"
    )
