from __future__ import annotations

import base64
import dataclasses
from html.parser import HTMLParser

from pipeline.report.page import page
from pipeline.report.schema import Metrics
from tests.pipeline.report.factory import metrics, network, pictures, trial

HOSTILE = "<script>alert(1)</script>\"'><img src=http://evil.test/x onerror=alert(2)>"
PLOTS = dict.fromkeys(("pareto", "flops_over_m", "flops_over_task"), (b"<?xml light", b"<?xml dark"))
VOID = {"meta", "link", "img", "source", "br", "hr", "input"}


class Page(HTMLParser):
    """Every element with its attributes, and the text; holds that elements are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def html_of(value: Metrics, **changes: object) -> str:
    shown = dataclasses.replace(pictures(), **changes)  # type: ignore[arg-type]
    return page(value, shown, b"\xff\xd8sheet", PLOTS)


def parsed(value: Metrics, **changes: object) -> Page:
    return Page(html_of(value, **changes))


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    html = html_of(metrics())
    parts = Page(html)
    assert not parts.open
    for tag, attributes in parts.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form", "video", "audio"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "srcset", "href", "data", "poster", "action"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#trial-")), (tag, name)
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_embedded_pictures_are_whole() -> None:
    parts = parsed(metrics())
    sources = [str(image["src"]) for image in parts.all("img")] + [str(s["srcset"]) for s in parts.all("source")]
    assert len(parts.all("img")) == 3 + 1 + 4 + 3 + 2, "photo, sheet, sliders, plots, trials"
    assert len(parts.all("source")) == 3
    assert [base64.b64decode(str(s["srcset"]).split(",")[1]) for s in parts.all("source")] == [b"<?xml dark"] * 3
    for source in sources:
        kind, data = source.removeprefix("data:").split(";base64,")
        head = {"image/jpeg": b"\xff\xd8", "image/svg+xml": b"<?xml "}[kind]
        assert base64.b64decode(data, validate=True).startswith(head)


def test_every_picture_is_told_in_words() -> None:
    alts = [str(image["alt"]) for image in parsed(metrics()).all("img")]
    assert min(map(len, alts)) > 20
    assert len(set(alts)) == len(alts)
    assert any("26.31 dB at 6.3 %" in alt for alt in alts)


def test_the_page_fits_the_reader() -> None:
    html = html_of(metrics())
    parts = Page(html)
    assert parts.all("html")[0]["lang"] == "en"
    assert any(meta.get("name") == "viewport" for meta in parts.all("meta"))
    assert "prefers-color-scheme: dark" in html
    assert [tag for tag, _ in parts.elements if tag == "h1"] == ["h1"]


def test_the_figures_are_there() -> None:
    text = parsed(metrics()).text
    for figure in (
        "26.84 dB",
        "-0.75 dB",
        "9.6x",
        "27.59",
        "23.40",
        "6.2 %",
        "10 finished",
        "6 min 12 s",
        "not measured",
    ):
        assert figure in text, figure


def test_every_trial_can_be_pointed_at_and_those_with_a_picture_followed() -> None:
    html = html_of(metrics())
    parts = Page(html)
    spots = [link for link in parts.all("a") if link.get("class") == "spot"]
    assert len(spots) == len(metrics().front)
    targets = {str(link["href"]) for link in spots if "href" in link}
    assert targets == {f"#{section['id']}" for section in parts.all("section") if section.get("class") == "card trial"}
    assert targets == {"#trial-0", "#trial-4"}
    assert all("tabindex" in link for link in spots if "href" not in link)


def test_hostile_names_stay_text() -> None:
    value = metrics(
        picks=(network(name=HOSTILE, variant=HOSTILE),),
        front=(trial(0, 26.0, 0.1, variant=HOSTILE, pick=HOSTILE),),
        stages={HOSTILE: 1.0},
        profile=dataclasses.replace(metrics().profile, source=HOSTILE, git_commit=HOSTILE, dataset_sha256=HOSTILE),
        machine=dataclasses.replace(metrics().machine, cpu=HOSTILE, torch=HOSTILE),
    )
    parts = parsed(value, photo=HOSTILE, network=HOSTILE, degradation=HOSTILE)
    assert not parts.all("script")
    assert all(str(image["src"]).startswith("data:") for image in parts.all("img"))
    assert not [a for _, attributes in parts.elements for a in attributes if a.startswith("on")]
    assert parts.text.count("<script>alert(1)</script>") >= 8


def test_little_is_enough() -> None:
    pick = dataclasses.replace(network(), latency=(), flops_by_m=(), flops_by_task={}, trial=None)
    value = metrics(picks=(pick,), front=(), stages={}, dense_valid_psnr_db=None)
    assert "not recorded" in parsed(value, photo="", degradation="").text


def test_a_network_that_several_rules_picked_has_one_card() -> None:
    made = metrics()
    knee = made.picks[0]
    shown = parsed(dataclasses.replace(made, picks=(knee, dataclasses.replace(knee, name="under-15"))))
    assert len([one for one in shown.all("div") if one.get("class") == "card"]) == 1
    assert "knee, under-15" in shown.text
