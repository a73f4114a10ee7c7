from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml
from ruamel.yaml import YAML

from pipeline.common.errors import UserError
from pipeline.config import Params, Variant, flatten, load, parse_size
from pipeline.config.bounds import BOUNDS
from pipeline.config.reading import dotted, read
from tatsnet.method import objective

QUICK = (Path(__file__).resolve().parents[2] / "profiles" / "quick.yaml").read_text()


def locate(text: str, dotted: str) -> int:
    """Line (from 0) of a key in block style: an independent, indentation-only reading of the file."""
    stack: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines()):
        key, colon, _ = line.partition(":")
        if not colon or not key.strip() or key.lstrip().startswith(("#", "-")):
            continue
        indent = len(key) - len(key.lstrip())
        stack = [*(entry for entry in stack if entry[0] < indent), (indent, key.strip())]
        if ".".join(name for _, name in stack) == dotted:
            return number
    raise AssertionError(f"no {dotted} in the profile")


def edited(dotted: str, value: str, text: str = QUICK) -> str:
    lines, at = text.splitlines(), locate(text, dotted)
    lines[at] = f"{lines[at].partition(':')[0]}: {value}"
    return "\n".join(lines) + "\n"


def with_key(section: str, entry: str, text: str = QUICK) -> str:
    """The profile with one more entry at the start of a section."""
    if not section:
        return f"{text}{entry}\n"
    lines, at = text.splitlines(), locate(text, section)
    indent = len(lines[at]) - len(lines[at].lstrip()) + 2
    return "\n".join([*lines[: at + 1], " " * indent + entry, *lines[at + 1 :]]) + "\n"


def refusal(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError) as caught:
        load(path)
    return str(caught.value).replace(str(path), "params.yaml")


def load_text(tmp_path: Path, text: str) -> Params:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load(path)


def leaves(values: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield from leaves(value, f"{place}.{key}" if place else key)
    elif isinstance(values, list) and values and isinstance(values[0], dict):
        for index, value in enumerate(values):
            yield from leaves(value, f"{place}.{index}")
    else:
        yield place, ", ".join(map(str, values)) if isinstance(values, list) else values


LEAVES = dict(leaves(YAML(typ="safe").load(QUICK)))
BLOCK_LEAVES = {k: v for k, v in LEAVES.items() if not k.startswith(("search.space", "search.suggestions"))}
NUMBERS = [k for k, v in BLOCK_LEAVES.items() if isinstance(v, (int, float)) and not isinstance(v, bool)]
WHOLE = [k for k in NUMBERS if isinstance(BLOCK_LEAVES[k], int)]
PHASES = {f"search.schedule.{name}" for name in ("warmup", "specific", "agnostic")}
SECTIONS = ["", *sorted({".".join(k.split(".")[:n]) for k in BLOCK_LEAVES for n in range(1, k.count(".") + 1)})]


def test_every_value_of_the_file_arrives_under_its_name(tmp_path: Path) -> None:
    assert flatten(load_text(tmp_path, QUICK)) == LEAVES


def test_params_are_frozen_all_through(tmp_path: Path) -> None:
    def walk(value: Any) -> Iterator[Any]:
        if dataclasses.is_dataclass(value):
            yield value
            for field in dataclasses.fields(value):
                yield from walk(getattr(value, field.name))
        elif isinstance(value, tuple):
            for item in value:
                yield from walk(item)
        else:
            assert isinstance(value, (str, int, float, bool, type(None)))

    sections = list(walk(load_text(tmp_path, QUICK)))
    assert len(sections) > 15
    for section in sections:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(section, dataclasses.fields(section)[0].name, 0)


def test_the_variants_are_the_library_s() -> None:
    assert set(get_args(Variant)) == {variant.value for variant in objective.Variant}


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_key_is_refused_in_every_section(tmp_path: Path, section: str) -> None:
    text = with_key(section, "wobble: 1")
    place = f"{section}.wobble" if section else "wobble"
    assert f"params.yaml:{locate(text, place) + 1}: {place}: unknown key" in refusal(tmp_path, text)


@pytest.mark.parametrize("place", NUMBERS)
@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "true", "ten", "'1'", "[1]", ""])
def test_no_number_takes_what_is_none(tmp_path: Path, place: str, value: str) -> None:
    assert f"params.yaml:{locate(QUICK, place) + 1}: {place}: must be a" in refusal(tmp_path, edited(place, value))


@pytest.mark.parametrize("place", WHOLE)
def test_a_whole_number_takes_no_decimals(tmp_path: Path, place: str) -> None:
    assert f"{place}: must be a whole number, got 2.0: write 2" in refusal(tmp_path, edited(place, "2.0"))


@pytest.mark.parametrize("place", sorted(set(NUMBERS) - set(WHOLE)))
def test_a_quoted_number_is_explained(tmp_path: Path, place: str) -> None:
    assert refusal(tmp_path, edited(place, "'1e-3'")).endswith("which is text: write 0.001 without quotes")


@pytest.mark.parametrize(
    "written",
    ["1e-05", "1E-5", "1.0e-5", "1e+0", "010", "08", "0o10", "0x1F", "0b11", "1_000", "+1", ".5", "+.5", "1.", "1.e1",
     "12:30", "yes", "off", "True", "~", "'1'", "2_5.5", "1e1_0", "0o8", "é", "a:b"],
)  # fmt: skip
def test_every_scalar_is_what_dvc_reads(tmp_path: Path, written: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"a: {written}\nb: [{written}]\nc: {{d: {written}}}\n", encoding="utf-8")
    ours, theirs = read(path).values, load_yaml(str(path))
    assert ours == theirs
    assert [type(value) for _, value in leaves(ours)] == [type(value) for _, value in leaves(theirs)]


@pytest.mark.parametrize("number", ["1.0e-5", "1e-7", "0.00002", "0.3"])
def test_what_dvc_writes_for_an_experiment_is_read(tmp_path: Path, number: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(QUICK)
    apply_overrides(str(path), [f"train.lr={number}"])
    assert load(path).train.lr == float(number)


@pytest.mark.parametrize(
    "place", [k for k, v in BLOCK_LEAVES.items() if isinstance(v, bool)] or ["search.method.prune"]
)
@pytest.mark.parametrize(("value", "write"), [("yes", "true"), ("off", "false"), ("On", "true")])
def test_a_switch_of_yaml_1_1_is_explained(tmp_path: Path, place: str, value: str, write: str) -> None:
    assert refusal(tmp_path, edited(place, value)).endswith(f"got {value!r}: write {write}")


def keys_of(values: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        if isinstance(key, str):
            yield (*place, key)
        yield from keys_of(value, (*place, key))


def written(values: Any) -> str:
    text = io.StringIO()
    YAML(typ="safe").dump(values, text)
    return text.getvalue()


@pytest.mark.parametrize("place", list(keys_of(YAML(typ="safe").load(QUICK))), ids=dotted)
def test_a_missing_key_is_refused_with_what_to_add(tmp_path: Path, place: tuple[str | int, ...]) -> None:
    values = inner = YAML(typ="safe").load(QUICK)
    for part in place[:-1]:
        inner = inner[part]
    value = inner.pop(place[-1])
    said = refusal(tmp_path, written(values))
    assert f": {dotted(place)}: is missing: add" in said
    assert said.count("\n") == 0
    if isinstance(value, dict):
        assert "section" in said
        return
    line = YAML(typ="safe").load(said.split("`")[1])
    assert set(line) == {place[-1]}
    inner.update(line)
    load_text(tmp_path, written(values))


def test_every_number_has_a_bound_with_a_reason() -> None:
    def numbers(section: Any, place: tuple[str, ...]) -> Iterator[str]:
        for name, kind in get_type_hints(section).items():
            inside = get_args(kind)[0] if get_origin(kind) is tuple else kind
            if dataclasses.is_dataclass(inside):
                yield from numbers(inside, (*place, name))
            elif {inside, *get_args(inside)} & {int, float}:
                yield ".".join((*place, name))

    assert set(numbers(Params, ())) == set(BOUNDS)
    assert all(reason for _, reason in BOUNDS.values())


@pytest.mark.parametrize("place", NUMBERS)
@pytest.mark.parametrize("value", [2**70, 10**39])
def test_no_number_is_too_large(tmp_path: Path, place: str, value: int) -> None:
    said = refusal(tmp_path, edited(place, str(value)))
    named = "search.schedule: phases must grow" if place in PHASES else f"{place}: "
    line = locate(QUICK, "search.schedule" if place in PHASES else place) + 1
    assert f"params.yaml:{line}: {named}" in said


@pytest.mark.parametrize("place", sorted(set(NUMBERS) - PHASES))
def test_the_bound_itself_is_no_traceback(tmp_path: Path, place: str) -> None:
    most, _ = BOUNDS[place]
    with suppress(UserError):
        load_text(tmp_path, edited(place, str(most)))
    above = most + 1 if isinstance(most, int) else most * 1.001
    with pytest.raises(UserError):
        load_text(tmp_path, edited(place, str(above)))


@pytest.mark.parametrize("value", ["9" * 400, "1e" + "9" * 400, "0x" + "f" * 5000, "9" * 5000])
@pytest.mark.parametrize("place", ["train.seed", "train.lr"])
def test_a_number_of_many_digits_is_refused(tmp_path: Path, place: str, value: str) -> None:
    said = refusal(tmp_path, edited(place, value))
    assert f"params.yaml:{locate(QUICK, place) + 1}: {place}: has a number of {len(value)} characters" in said


@pytest.mark.parametrize("value", [r'"a\0b"', r'"\ud800"', r'"a\nb"', '"' + "x" * 1001 + '"'])
@pytest.mark.parametrize("place", ["data.source", "train.decay", "tracking.experiment"])
def test_a_text_that_names_nothing_is_refused(tmp_path: Path, place: str, value: str) -> None:
    said = refusal(tmp_path, edited(place, value))
    assert f"params.yaml:{locate(QUICK, place) + 1}: {place}: has a text " in said
    assert len(said) < 500


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network.width": "1024", "network.blocks": "1024"}, "network.width: and network.blocks make a network of"),
        ({"train.batch": "65536", "train.patch": "512"}, "train.batch: and train.patch make a step of this network"),
    ],
)
def test_sizes_that_are_too_large_together_are_refused(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    text = QUICK
    for place, value in changes.items():
        text = edited(place, value, text)
    assert said in refusal(tmp_path, text)


def test_a_number_may_be_whole_where_decimals_are_allowed(tmp_path: Path) -> None:
    clip = load_text(tmp_path, edited("train.clip", "2")).train.clip
    assert (clip, type(clip)) == (2.0, float)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("search.space.lambda1", "{low: 1.0e-2, high: 1.0e-5}", "search.space.lambda1.low: is above high (0.01 >"),
        ("search.space.lambda1", "{low: '1e-3', high: 1.0e-2}", "must be a number, got '1e-3'"),
        ("search.space.lambda1", "{low: '1e3', high: 1.0e-2}", "write 1000.0 without quotes"),
        ("search.space.lambda1", "{low: .nan, high: 1.0e-2}", "search.space.lambda1.low: must be a finite number"),
        ("search.space.lambda1", "{low: 0.0, high: 1.0e-2}", "search.space.lambda1.low: must be above 0"),
        ("search.space.lambda2", "{low: -1.0, high: 1.0}", "search.space.lambda2.low: must be at least 0"),
        ("search.space.lambda2", "{low: 1.0}", "search.space.lambda2.high: is missing"),
        ("search.space.gamma", "{low: 0.8, high: 1.5}", "search.space.gamma: must lie between 0 and 1"),
        ("search.space.lambda2", "0.5", "search.space.lambda2: must be a section"),
        ("search.variants", "[TSNet, TA+TSNett]", "search.variants[1]: must be one of TSNet, TA+TSNet, TSNet-m"),
        ("search.variants", "[TSNet, TA+TSNett]", "did you mean 'TA+TSNet'?"),
        ("search.variants", "[]", "search.variants: must name at least one"),
        ("search.variants", "[TSNet, TSNet]", "search.variants: names one twice"),
        ("search.variants", "TSNet", "search.variants: must be a list"),
        ("search.variants", "[TSNet]", "search.suggestions[0].variant: TA+TSNet-m is not among search.variants"),
        ("search.trials", "0", "search.trials: must be at least 1"),
        ("search.seed", "-1", "search.seed: must be at least 0"),
        ("search.schedule.warmup", "0.9", "search.schedule: phases must grow"),
        ("search.method.min_channels", "1000", "search.method.min_channels: is more than the network has"),
        ("search.method.shared_points", "28", "search.method.shared_points: is more than the network has: 28 > 27"),
        ("search.method.group", "0", "search.method.group: must be at least 1"),
        ("search.method.group", "3", "search.method.group: does not divide network.width: 16 / 3"),
        ("search.method.group", "32", "search.method.group: does not divide network.width: 16 / 32"),
        ("search.method.tied", "0", "search.method.tied: must be true or false"),
        ("search.method.prune", "1", "search.method.prune: must be true or false"),
        ("search.method.ema", "0.0", "search.method.ema: must be in (0, 1]"),
        ("search.resources.concurrent", "0", "search.resources.concurrent: must be at least 1"),
        ("search.resources.cpus_per_trial", "0.0", "search.resources.cpus_per_trial: must be above 0"),
        ("search.suggestions", "[{variant: TSNet}]", "search.suggestions[0].gamma: is missing"),
        ("network.width", "10", "network.width: must be a multiple of 4"),
        ("network", "", "network: must be a section of `key: value` lines, got nothing"),
        ("train.decay", "halve", "train.decay: must be one of cosine, half, got 'halve'; did you mean 'half'?"),
        ("train.patch", "33", "train.patch: must be even"),
        ("data.source", "samples", "data.source: must be one of sample"),
        ("data.source", "folder", "folder"),
        ("search.objectives", "[]", "search.objectives: must name at least one"),
        ("search.objectives", "[speed]", "search.objectives[0]: must be one of flops, latency"),
        ("search.objectives", "[latency, flops]", "search.objectives: must have flops first, got latency, flops"),
        ("search.latency.size", "480by320", "search.latency.size: must read WIDTHxHEIGHT"),
        ("search.latency.size", "481x320", "search.latency.size: must have even sides, got '481x320'"),
        ("search.latency.size", "480x8", "search.latency.size: must have sides of 16"),
        ("search.latency.runtime", "onnx", "search.latency.runtime: must be one of auto, numba, openvino, onnxr"),
        ("search.latency.threads", "0", "search.latency.threads: must be at least 1"),
        ("select.budgets", "[0.0]", "select.budgets: must be shares"),
        ("select.budgets", "[1.5]", "select.budgets: must be shares"),
        ("select.picks", "[nee]", "did you mean 'knee'?"),
        ("benchmark.sizes", "[1280]", "benchmark.sizes[0]: must be text"),
        ("benchmark.sizes", "[1280*720]", "benchmark.sizes: must read WIDTHxHEIGHT, as 1280x720, got '1280*720'"),
        ("benchmark.sizes", "[8x720]", "benchmark.sizes: must have sides of 16"),
        ("benchmark.best_of_27_crops", "999", "benchmark.best_of_27_crops: is more than there are"),
        ("eval.crop", "8", "eval.crop: must be 0 (whole photos) or at least 16"),
        ("tracking.model", "a/b", "tracking.model: must be a name without slash"),
        ("cost.gpu_tflops", "0.0", "cost.gpu_tflops: must be above 0"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named_with_its_line(tmp_path: Path, place: str, value: str, said: str) -> None:
    text = edited(place, value)
    if place in ("search.suggestions", "network"):  # what stood in the section goes with it
        lines, at = text.splitlines(), locate(text, place)
        inside = len(lines[at]) - len(lines[at].lstrip())
        end = next(n for n in range(at + 1, len(lines)) if len(lines[n]) - len(lines[n].lstrip()) <= inside)
        text = "\n".join([*lines[: at + 1], *lines[end:]]) + "\n"
    message = refusal(tmp_path, text)
    assert said in message
    assert message.startswith("params.yaml:")


@pytest.mark.parametrize(
    ("section", "entry", "said"),
    [
        ("search", "lambda1: 1.0", "search.lambda1: unknown key here; did you mean 'search.space.lambda1'?"),
        ("train", "bach: 3", "train.bach: unknown key; did you mean 'batch'?"),
        ("", "lr: 0.1", "lr: unknown key here; did you mean 'train.lr'?"),
        ("network", "zzz: 3", "network.zzz: unknown key; known here: width, blocks"),
    ],
)
def test_an_unknown_key_gets_a_suggestion(tmp_path: Path, section: str, entry: str, said: str) -> None:
    assert said in refusal(tmp_path, with_key(section, entry))


@pytest.mark.parametrize("value", ["{variant: TA+TSNet-m, lambda1: 1.0, lambda2: 1.0e-2, gamma: 0.9}"])
def test_a_suggestion_must_lie_in_the_space(tmp_path: Path, value: str) -> None:
    text = QUICK.replace("  control:", f"    - {value}\n  control:")
    line = text.splitlines().index(f"    - {value}") + 1
    count = len(YAML(typ="safe").load(QUICK)["search"]["suggestions"])
    said = refusal(tmp_path, text)
    assert said.startswith(f"params.yaml:{line}: search.suggestions[{count}].lambda1: 1.0 is outside search.space")


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = edited("select.budgets", "[2.0]", edited("train.lr", "fast", with_key("eval", "colour: 3")))
    lines = refusal(tmp_path, text).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["eval.colour", "train.lr", "select.budgets"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("- 1\n", "must be a section"),
        ("text\n", "must be a section"),
        (with_key("train", "batch: 3"), "train.batch: stands twice, first on line"),
        (f"{QUICK}data: {{}}\n", "data: stands twice"),
        (edited("data.folder", "&a [*a]"), "aliases"),
        (edited("data.folder", "!!python/object/apply:os.getcwd []"), "kind python/object/apply"),
        (edited("data.folder", "!!binary aGk="), "kind binary"),
        (edited("data.folder", "2001-01-01"), "kind timestamp, which is not read here (quote it"),
        (edited("data.folder", "<<"), "kind merge"),
        (edited("data.folder", "!!bool 7"), "is not a YAML file"),
        (edited("data.folder", "!!float x"), "is not a YAML file"),
        ("#" * 1_000_001, "is it another file?"),
        (edited("data.folder", "[" * 3000), "is not a YAML file"),
        (edited("data.folder", "'open"), "params.yaml:"),
        (f"{QUICK}---\na: 1\n", "params.yaml:"),
        ("data:\n\tsource: sample\n", "params.yaml:2"),
        (with_key("train", "7: 3"), 'train: a key must be text, got "7"'),
        (b"data: \xff\xfe", "cannot be read as UTF-8"),
        ("data: \x07\n", "is not a YAML file"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in refusal(tmp_path, text)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path)


def test_an_ablation_is_reached_by_parameters_alone(tmp_path: Path) -> None:
    text = edited("search.method.prune", "false", edited("search.method.shared_points", "8"))
    method = load_text(tmp_path, text).search.method
    assert (method.prune, method.shared_points) == (False, 8)


@pytest.mark.parametrize(("text", "size"), [("480x320", (480, 320)), ("3840x2160", (3840, 2160))])
def test_a_size_reads_width_then_height(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size
