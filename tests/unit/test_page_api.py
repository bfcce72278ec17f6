"""docs/page-api.md describes every route of the page and every field that it answers, and none that is not there."""

import ast
import re
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from documentation import ROOT
from ghost_tracking.page import responses

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with", "ignore::DeprecationWarning:(airflow|cadwyn).*")

TEXT = (ROOT / "docs" / "page-api.md").read_text(encoding="utf-8")
PAGE = ROOT / "plugins" / "ghost_tracking" / "page"
WORDS = {int: "integer", float: "number", str: "text", bool: "boolean"}
ANSWERS = {name: each for name, each in vars(responses).items() if is_dataclass(each)}
ANYTHING_ELSE = "/{path}"
"""The route that answers 404."""


def routes() -> dict[str, Any]:
    """The page's routes by their paths; what they import of Airflow warns, which is the concern of no test here."""
    from ghost_tracking.page.app import router

    return {route.path.replace(":path}", "}"): route for route in router.routes}


def sections(heading: str) -> dict[str, str]:
    """What stands below each ### of a ##, by its title."""
    (_, _, below) = TEXT.partition(f"\n## {heading}\n")
    found = re.split(r"^### ", below.partition("\n## ")[0], flags=re.MULTILINE)[1:]
    return {title: rest for title, _, rest in (each.partition("\n") for each in found)}


def rows(text: str) -> list[list[str]]:
    """The cells of a table, but for its heading."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words_of(hint: Any) -> str:
    """A type as the documentation names it."""
    if is_dataclass(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    if get_origin(hint) in {Union, types.UnionType}:
        return " or ".join("null" if each is type(None) else words_of(each) for each in get_args(hint))
    if get_origin(hint) in {list, dict}:
        inner = words_of(get_args(hint)[-1])
        return f"{'list' if get_origin(hint) is list else 'object'} of {f'({inner})' if ' or ' in inner else inner}"
    return WORDS[hint]


def model_of(route: Any) -> Any:
    return route.responses.get(200, {}).get("model")


def within(hint: Any) -> Iterator[Any]:
    """The dataclasses of a type, and of their fields."""
    if is_dataclass(hint):
        yield hint
        for each in get_type_hints(hint).values():
            yield from within(each)
    for each in get_args(hint):
        yield from within(each)


def test_every_route_is_described_and_no_other() -> None:
    assert set(sections("Routes")) == {f"`GET {path}`" for path in routes() if path != ANYTHING_ELSE}
    assert all(route.methods == {"GET"} for route in routes().values())


@pytest.mark.parametrize("path", re.findall(r"^### `GET (/data/.+)`$", TEXT, re.MULTILINE))
def test_a_route_is_described_with_its_parameters_and_its_answer(path: str) -> None:
    route, text = routes()[path], sections("Routes")[f"`GET {path}`"]
    parameters = {each.name: each.default for each in route.dependant.query_params}
    named = {row[0].strip("`"): row[1].strip("`").replace("empty", "") for row in rows(text)}
    assert named == parameters
    model = model_of(route)
    (kind,) = [words_of(model)] if model else [f"`{each}`" for each in route.responses[200]["content"]]
    assert f"\nAnswer: {kind}." in text


def test_every_error_is_described() -> None:
    described = {int(row[0]): row[2] for row in rows(TEXT.partition("\n## Errors\n")[2].partition("\n## ")[0])}
    declared = {status for route in routes().values() for status in route.responses if status != 200}
    ours = {status for status, body in described.items() if body == words_of(responses.Error)}
    assert ours == declared
    assert set(described) - ours == {401, 403, 404}


def test_every_answer_is_described_and_no_other() -> None:
    answered = {each.__name__ for route in routes().values() for each in within(model_of(route) or responses.Error)}
    assert set(sections("Answers")) == answered == set(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_every_field_is_described_with_its_type_and_no_other(name: str) -> None:
    answer, hints = ANSWERS[name], get_type_hints(ANSWERS[name])
    described = rows(sections("Answers")[name])
    assert [row[:2] for row in described] == [
        [f"`{field.name}`", words_of(hints[field.name])] for field in fields(answer)
    ]
    assert all(row[2] for row in described)


def test_only_one_module_reads_airflows_tables() -> None:
    """Its ORM is not public: see docs/decisions/2026-11-30-runs-through-the-orm.md."""
    private = re.compile(r"airflow\.(models|utils\.session|settings)\b")

    def imported(path: Any) -> set[str]:
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        return {each.module or "" for each in tree if isinstance(each, ast.ImportFrom)}

    reading = {path.name for path in PAGE.glob("*.py") if any(map(private.match, imported(path)))}
    assert reading == {"runs.py"}
