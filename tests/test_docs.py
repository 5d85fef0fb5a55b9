"""Links, anchors, paths, settings, metrics and alerts that the documentation names exist."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.splitlines()
PAGES = [name for name in TRACKED if name.endswith(".md") and (ROOT / name).exists()]
CODE = [
    name
    for name in TRACKED
    if (name.endswith((".py", ".sh", ".toml", ".yml")) or name == "Makefile") and (ROOT / name).exists()
]

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
OUR_PATH = re.compile(r"`((?:schemas|streams|inference|deploy|tests|examples|docs|locked)/[\w./-]*)`")
DOC = re.compile(r"\bdocs/[\w./-]+\.md\b")

NAMED = {
    "docs/reference/settings.md": r"\bOUZEL_[A-Z_]+\b",
    "docs/reference/metrics.md": r"\bouzel_[a-z_]+\b",
    "deploy/prometheus/rules.yml": r"\bOuzel[A-Z]\w+\b",
}
"""Names of settings, metrics and alerts, by the file that has them all."""
ELSEWHERE = {
    *("OUZEL_TRITON_CONTROL_KEY", "OUZEL_REQUIRE_ALL", "OUZEL_WITHOUT_TORCH"),  # not a worker's
    *("ouzel_whole", "ouzel_without_model"),  # a contestant of `make bench`, a method of `make evaluate`
}


@cache
def text(name: str) -> str:
    """A page without its blocks of code."""
    return FENCED.sub("", (ROOT / name).read_text(encoding="utf-8"))


@cache
def anchors(name: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", text(name), re.MULTILINE):
        plain = LINK.sub("]", heading).replace("[", "").replace("]", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(slug if slug not in found else f"{slug}-1")
    return found


@pytest.mark.parametrize("page", PAGES)
def test_page_links_to_what_exists(page: str) -> None:
    for link in LINK.findall(INLINE.sub("", text(page))):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            name = str(target.resolve().relative_to(ROOT))
            assert anchor in anchors(name), f"{page}: {link} (there are {', '.join(sorted(anchors(name)))})"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != "CHANGELOG.md" and not page.startswith("docs/adr/")]
)
def test_page_names_paths_that_exist(page: str) -> None:
    """A changelog and decisions tell of their time; every other page of now."""
    for path in OUR_PATH.findall(text(page)):
        assert (ROOT / path).exists(), f"{page}: {path}"


@pytest.mark.parametrize("source", NAMED)
def test_pages_name_settings_metrics_and_alerts_that_exist(source: str) -> None:
    known = set(re.findall(NAMED[source], (ROOT / source).read_text(encoding="utf-8"))) | ELSEWHERE
    pages = [page for page in PAGES if page == "README.md" or page.startswith(("docs/guide/", "docs/quickstart"))]
    named = {(page, re.sub("_(bucket|count|sum)$", "", name)) for page in pages for name in names(page, source)}
    assert not {f"{page}: {name}" for page, name in named if name not in known}


def names(page: str, source: str) -> list[str]:
    return re.findall(NAMED[source], (ROOT / page).read_text(encoding="utf-8"))


def test_code_names_pages_that_exist() -> None:
    named = {(name, page) for name in CODE for page in DOC.findall((ROOT / name).read_text(encoding="utf-8"))}
    assert not {f"{name}: {page}" for name, page in named if not (ROOT / page).exists()}


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, queue = set(), ["README.md"]
    while queue:
        page = queue.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in LINK.findall(text(page)):
            target = (ROOT / page).parent / link.partition("#")[0]
            if target.suffix == ".md" and target.exists():
                queue.append(str(target.resolve().relative_to(ROOT)))
    assert {page for page in PAGES if page.startswith("docs/")} <= reached
