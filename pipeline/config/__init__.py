"""`params.yaml` as one frozen, validated object: the only reader and writer of YAML in the project."""

from pipeline.config.checks import parse_size
from pipeline.config.loading import PARAMS_FILE, flatten, load
from pipeline.config.searching import (
    ControlLimits,
    Cost,
    LatencyConfig,
    Limits,
    Range,
    Resources,
    SamplerName,
    SearchConfig,
    Space,
    Stopping,
    Suggestion,
    Variant,
)
from pipeline.config.sections import (
    BenchmarkConfig,
    CostConfig,
    EvalConfig,
    FinetuneConfig,
    Params,
    Pick,
    PretrainConfig,
    SelectConfig,
    TrackingConfig,
)

__all__ = [
    "PARAMS_FILE",
    "BenchmarkConfig",
    "ControlLimits",
    "Cost",
    "CostConfig",
    "EvalConfig",
    "FinetuneConfig",
    "LatencyConfig",
    "Limits",
    "Params",
    "Pick",
    "PretrainConfig",
    "Range",
    "Resources",
    "SamplerName",
    "SearchConfig",
    "SelectConfig",
    "Space",
    "Stopping",
    "Suggestion",
    "TrackingConfig",
    "Variant",
    "flatten",
    "load",
    "parse_size",
]
