"""The documentation as a Markdown parser sees it: pages, fenced blocks, commands in the text, links, anchors."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
FRONT = ROOT / "README.md"
PAGES = [FRONT, *sorted(set(ROOT.glob("*.md")) - {FRONT}), *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = "text"
"""The language of blocks that are only shown: output, layouts, text to copy."""


@dataclass(frozen=True)
class Block:
    """A fenced block; `number` counts the blocks of its page from 1, `line` is where it begins."""

    page: str
    number: int
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def tokens(page: Path) -> list[Token]:
    """What the page consists of."""
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def name_of(page: Path) -> str:
    """The page's path in the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The blocks of code of a page, in its order; one that is indented and not fenced has no language."""
    found = [each for each in tokens(page) if each.type in {"fence", "code_block"}]
    return [
        Block(name_of(page), number, (each.map or [0])[0] + 1, each.info.strip(), each.content)
        for number, each in enumerate(found, 1)
    ]


def code_in_text(page: Path) -> list[str]:
    """What stands between backticks."""
    return [part.content for part in _parts(page) if part.type == "code_inline"]


def links(page: Path) -> list[str]:
    """Where the page's links and pictures lead."""
    targets = [part.attrGet("href") or part.attrGet("src") for part in _parts(page)]
    return [str(target) for target in targets if target]


@cache
def anchors(page: Path) -> set[str]:
    """What can follow the # in a link to this page: its headings, as GitHub writes them."""
    found: set[str] = set()
    for before, each in zip(tokens(page), tokens(page)[1:], strict=False):
        if before.type == "heading_open":
            text = "".join(part.content for part in each.children or () if part.type in {"text", "code_inline"})
            slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            same = sum(known == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", known) is not None for known in found)
            found.add(f"{slug}-{same}" if same else slug)
    return found


def commands(script: str) -> list[str]:
    """The commands of a shell script, each whole: with its continued lines, its quoted ones, its loop."""
    found, held = [], ""
    for line in script.splitlines():
        held += line + "\n"
        if not line.endswith("\\") and _is_whole(held):
            found.append(held)
            held = ""
    assert not held.strip(), f"a command without an end: {held}"
    return [each for each in found if shlex.split(each, comments=True)]


def _is_whole(script: str) -> bool:
    return subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False).returncode == 0


def _parts(page: Path) -> Iterator[Token]:
    """The parts of the page's text, those within links and pictures too."""
    waiting = list(tokens(page))
    while waiting:
        part = waiting.pop(0)
        yield part
        waiting += part.children or []
