"""What can be set is documented, and what is documented can be set; links lead somewhere, and commands are commands."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from airflow.cli.cli_parser import get_parser

from documentation import PAGES, ROOT, SHOWN, anchors, blocks, code_in_text, links, name_of, tokens
from ghost_tracking import settings
from ghost_tracking.__main__ import _parser
from ghost_tracking.vault.history.days import CompactedDay
from ghost_tracking.vault.history.manifest import HistoryManifest

PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ASTRO = yaml.safe_load((ROOT / "airflow_settings.yaml").read_text(encoding="utf-8"))["airflow"]


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading, by the name in their first cell."""
    section = re.search(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, heading
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section[1].splitlines() if "|" in line]
    return {row[0].strip("`"): row[1:] for row in rows if row[0].startswith("`")}


def constants(suffix: str) -> set[str]:
    return {value for name, value in vars(settings).items() if name.endswith(suffix)}


def test_every_setting_is_documented_with_its_default_and_meaning() -> None:
    fields = settings.Settings.model_fields
    assert table("Settings") == {name: [json.dumps(field.default), field.description] for name, field in fields.items()}


@pytest.mark.parametrize(
    ("heading", "names", "in_astro"),
    [
        ("Connections", constants("_CONNECTION"), {each["conn_id"] for each in ASTRO["connections"]}),
        ("Variables", constants("_VARIABLE"), {each["variable_name"] for each in ASTRO["variables"]}),
        ("Pools", {"ghost_tracker"}, {each["pool_name"] for each in ASTRO["pools"]}),
        ("Assets", constants("_ASSET"), set()),
    ],
)
def test_every_name_is_documented(heading: str, names: set[str], in_astro: set[str]) -> None:
    assert set(table(heading)) == names
    assert in_astro <= names


def test_every_table_is_whole() -> None:
    """A blank line within a table ends it; GitHub shows the rest as text."""
    for page in PAGES:
        for each in tokens(page):
            assert not (each.type == "inline" and each.content.startswith("|")), f"{name_of(page)}: {each.content}"


def test_every_environment_variable_is_documented() -> None:
    assert set(table("Environment variables")) >= constants("_ENVIRONMENT")
    sources = [*(ROOT / "plugins").rglob("*.py"), *(ROOT / "dags").glob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    assert set(re.findall(r"\bGHOST_[A-Z_]+\b", code)) <= set(table("Environment variables"))


def test_every_setting_is_used() -> None:
    sources = [path for path in (ROOT / "plugins").rglob("*.py") if path.name != "settings.py"]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    own = (ROOT / "plugins" / "ghost_tracking" / "settings.py").read_text(encoding="utf-8")
    for name in settings.Settings.model_fields:
        assert f".{name}" in code or f"self.{name}" in own, name


THREATS = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_row_of_the_threat_model_names_tests_that_are_there() -> None:
    rows = re.findall(r"^\| (?!they can|---).*\|$", THREATS.replace("|---|---|---|\n", ""), re.MULTILINE)
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
        assert named, row
        for file, test in named:
            assert f"def {test}" in (ROOT / file).read_text(encoding="utf-8"), (file, test)


def test_every_attack_is_in_the_threat_model() -> None:
    assert {file.name for file in (ROOT / "tests" / "security").glob("test_*.py")} <= set(
        re.findall(r"tests/security/(\w+\.py)", THREATS)
    )


LINKING = [*PAGES, *(ROOT / "include").rglob("*.md")]


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), link
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        assert target.is_relative_to(ROOT), f"{name_of(page)} links to {link}, outside of the project"
        assert not anchor or anchor in anchors(target), f"{name_of(page)} links to {link}; it has {anchors(target)}"


def test_every_page_is_found_from_the_front() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        near = {(page.parent / link.partition("#")[0]).resolve() for link in links(page) if ":" not in link}
        waiting += [each for each in near if each.suffix == ".md" and each not in seen and each not in waiting]
    assert [name_of(page) for page in PAGES if page not in seen and page != ROOT / "docs" / "README.md"] == []


@pytest.mark.parametrize("folder", ["docs", "docs/decisions"])
def test_an_index_names_every_page_of_its_folder(folder: str) -> None:
    index = ROOT / folder / "README.md"
    named = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert {page for page in (ROOT / folder).glob("*.md") if page != index} <= named


def test_decisions_stand_newest_first() -> None:
    dates = [link[:10] for link in links(ROOT / "docs" / "decisions" / "README.md")]
    assert dates == sorted(dates, reverse=True)


COMMAND = re.compile(
    r"[$#>]? ?(airflow|astro|aws|curl|docker|ghost-tracking|git|kubectl|helm|make|pip|psql|pg_\w+|python3?|uv) +\S"
)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_that_is_only_shown_holds_no_command(page: Path) -> None:
    """Every other one is run by `tests/docs/`."""
    for block in blocks(page):
        assert block.language, f"{block}: say which language this is, `{SHOWN}` when it is only shown"
        if block.language == SHOWN:
            assert not [line for line in block.code.splitlines() if COMMAND.match(line)], block


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_text_are_commands(page: Path) -> None:
    """They are parsed by the program that they call, and not run; a sign of omission ends what is looked at."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for code in code_in_text(page):
        if code.startswith("make ") and (targets := re.findall(r"^make ([a-z-]+)", code)):
            assert re.search(rf"^{targets[0]}:", makefile, re.MULTILINE), f"{name_of(page)}: {code}"
        elif code.startswith(("python -m ghost_tracking ", "ghost-tracking ")) and "…" not in code:
            assert _parser().parse_args(shlex.split(code.partition("ghost")[2])[1:]), f"{name_of(page)}: {code}"
        elif code.startswith("airflow ") and "…" not in code:
            assert get_parser().parse_args(shlex.split(code)[1:]), f"{name_of(page)}: {code}"


def test_the_wheel_and_a_deployment_need_the_same() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    deployment = {line for line in lines if line and not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {*project["dependencies"], *project["optional-dependencies"]["airflow"]} == deployment


def test_the_benchmarks_that_run_on_request_only_are_named() -> None:
    from benchmarks.__main__ import ON_REQUEST

    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    found = re.search(r"((?:`[a-z-]+`(?:,| and)?\s+)+)run only when they are named", page)
    assert found
    assert set(re.findall(r"`([a-z-]+)`", found[1])) == ON_REQUEST


def test_whoever_combines_the_layers_finds_what_the_page_names_in_the_manifest() -> None:
    page = (ROOT / "docs" / "read-the-data.md").read_text(encoding="utf-8")
    (rule,) = re.findall(r"^To combine the layers yourself.*?^## ", page, re.MULTILINE | re.DOTALL)
    fields = {*HistoryManifest.model_fields, *CompactedDay.model_fields}
    assert {"days", "stale", "compacted_only", "rows"} <= set(re.findall(r"`([a-z_]+)`", rule)) <= fields
