"""`tatsnet flops`: operations per effect on one image, of the dense super network and of a found one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tatsnet.cli.errors import CommandError
from tatsnet.cli.work import load_model
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.flops import EffectCost, dense_flops, effect_cost

DEFAULT_EFFECTS = 27


def flops(
    size: tuple[int, int],
    network: tuple[int | None, int | None],
    model: Path | None,
    effects: int | None,
    *,
    as_json: bool,
) -> str:
    """The text to print.

    Args:
        size: width and height of the image.
        network: width and blocks of the dense super network; None is the paper's.
        model: folder of an extracted network.
        effects: M of eq. 4.

    Raises:
        CommandError: options that do not go together, a size that is no network's, or a model that cannot be read.
    """
    facts = _dense(size, network, effects) if model is None else _found(size, network, model, effects)
    return json.dumps(facts, indent=2) if as_json else _as_text(facts)


def _dense(size: tuple[int, int], network: tuple[int | None, int | None], effects: int | None) -> dict[str, Any]:
    if effects is not None:
        raise CommandError("--effects asks for a found network's average: give its folder with --model")
    width, blocks = (64 if network[0] is None else network[0]), (32 if network[1] is None else network[1])
    try:
        config = NetworkConfig(width=width, blocks=blocks)
    except ValueError as error:
        raise CommandError(str(error)) from error
    return _head(size, config) | {"dense_gflops": dense_flops(config, size[1], size[0]) / 1e9}


def _found(
    size: tuple[int, int], network: tuple[int | None, int | None], model: Path, effects: int | None
) -> dict[str, Any]:
    if network != (None, None):
        raise CommandError("--width and --blocks are those of the model: leave them out, or --model")
    architecture = load_model(model, "torch").architecture
    effects = DEFAULT_EFFECTS if effects is None else effects
    cost = effect_cost(architecture, size[1], size[0], effects)
    facts = _head(size, architecture.network) | {"model": str(model), "effects": effects}
    return facts | _costs(cost) | {"shared_layers_pct": architecture.shared_percent}


def _head(size: tuple[int, int], network: NetworkConfig) -> dict[str, Any]:
    return {"size": f"{size[0]}x{size[1]}", "network": {"width": network.width, "blocks": network.blocks}}


def _costs(cost: EffectCost) -> dict[str, float]:
    return {
        "dense_gflops": cost.dense / 1e9,
        "unshared_gflops": (cost.shared + cost.specific + cost.auxiliary) / 1e9,
        "per_effect_gflops": cost.per_effect / 1e9,
        "ratio": cost.ratio,
        "shared_gflops": cost.shared / 1e9,
        "specific_gflops": cost.specific / 1e9,
        "auxiliary_gflops": cost.auxiliary / 1e9,
    }


def _as_text(facts: dict[str, Any]) -> str:
    network = facts["network"]
    lines = [f"{facts['size']}, super network of width {network['width']} with {network['blocks']} blocks, GFLOPs"]
    rows = [("dense, per effect (eq. 1)", "dense_gflops")]
    if "model" in facts:
        effects = facts["effects"]
        lines.append(f"{facts['model']}: {facts['shared_layers_pct']:.0f} % of the layers shared")
        rows += [
            ("found, per effect, nothing reused (eq. 2)", "unshared_gflops"),
            (f"found, per effect of {effects} (eq. 4)", "per_effect_gflops"),
            (f"  shared part, once for {effects}", "shared_gflops"),
            ("  task-specific part, mean, each time", "specific_gflops"),
            ("  controller, each time", "auxiliary_gflops"),
        ]
    lines += [f"  {label:<44}{facts[key]:>12.5g}" for label, key in rows]
    if "model" in facts:
        lines.append(f"  {'found / dense':<44}{100 * facts['ratio']:>10.3g} %")
    return "\n".join(lines)
