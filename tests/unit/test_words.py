"""The words that the glossary and the field have replaced stay out: of names, of messages and of the documentation."""

import re
from pathlib import Path

import pytest

from documentation import PAGES

ROOT = Path(__file__).parents[2]
CODE = [
    path
    for folder in ("plugins", "dags", "include", "dev", "benchmarks")
    for suffix in ("py", "sql", "js", "sh", "yaml")
    for path in (ROOT / folder).rglob(f"*.{suffix}")
    if not {"vendor", "node_modules"} & set(path.parts)
]
REPLACED = {
    r"fold(s|ed|ing)?\b|\bunfold|\brefold": "compact",
    r"shel(f|ve|ves|ved|ving)\b": "move to the roster",
    r"(re)?heat(s|ed|ing)?\b|\bhot\b": "promote",
    r"hauls?\b|bring_in\b": "ingest, IngestResult",
    r"inbox": "import queue",
    r"admit(s|ted|ting)?\b|admission": "import",
    r"purses?\b": "call budget",
    r"hunted_until": "watermark",
    r"departed|faulted_at|newcomers?\b": "removed positions, outage since, candidate",
    r"complaints?\b": "validation errors",
    r"verdicts?\b": "summary (of a run), health (on the page)",
    r"sentence_of|naming_damage": "user_message, wrap_read_errors",
    r"FolderStorage|SeriesIndex|WatchlistHook\.queues": "LocalStorage, HistoryManifest",
    r"SeriesReader|SeriesWriter|series_files|series_points|late_hours|is_dropped": "history, stale, compacted only",
    r"tall(y|ies)\b": "checksum",
    r"anew\b": "again, rebuild",
}


def found(text: str) -> dict[str, str]:
    """The replaced words in a text, with what stands for them now."""
    hits = ((re.search(rf"(?<![A-Za-z])(?:{old})", text, re.IGNORECASE), new) for old, new in REPLACED.items())
    return {hit[0]: new for hit, new in hits if hit}


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_has_none_of_the_replaced_words(path: Path) -> None:
    assert found(path.read_text(encoding="utf-8")) == {}


@pytest.mark.parametrize("page", [page for page in PAGES if "decisions" not in page.parts], ids=lambda page: page.name)
def test_pages_have_none_of_the_replaced_words(page: Path) -> None:
    assert found(page.read_text(encoding="utf-8")) == {}
