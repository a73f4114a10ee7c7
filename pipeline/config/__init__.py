"""`params.yaml` as one frozen, validated object: the only reader of YAML in the project."""

from pipeline.config.loading import PARAMS_FILE, flatten, load
from pipeline.config.sections import (
    BenchmarkConfig,
    CostConfig,
    EvalConfig,
    FinetuneConfig,
    Params,
    Pick,
    PretrainConfig,
    Range,
    Resources,
    SearchConfig,
    SelectConfig,
    Space,
    Suggestion,
    TrackingConfig,
    Variant,
    parse_size,
)

__all__ = [
    "PARAMS_FILE",
    "BenchmarkConfig",
    "CostConfig",
    "EvalConfig",
    "FinetuneConfig",
    "Params",
    "Pick",
    "PretrainConfig",
    "Range",
    "Resources",
    "SearchConfig",
    "SelectConfig",
    "Space",
    "Suggestion",
    "TrackingConfig",
    "Variant",
    "flatten",
    "load",
    "parse_size",
]
