"""docs/deploy.md: what can be held of it without Docker, Kubernetes or another Airflow."""

import re
import shlex
from typing import Any

import yaml
from airflow.cli.cli_parser import get_parser

from deployments.airflows import VERSIONS
from ghost_tracking import settings
from local_stack.layout import PROJECT

PAGE = (PROJECT / "docs" / "deploy.md").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text(encoding="utf-8"))


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", PAGE, re.MULTILINE | re.DOTALL)
    return [block for _, block in found]


def commands(program: str) -> list[list[str]]:
    """The arguments of every call of a program, in blocks and in the text."""
    shown = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]
    called = [*shown, *re.findall(rf"`({program} [^`]*)`", PAGE)]
    words = [shlex.split(line.split(" < ")[0].split(" > ")[0], comments=True) for line in called]
    start = program.split()
    return [each[len(start) :] for each in words if each[: len(start)] == start]


def table(after: str) -> list[list[str]]:
    """The rows of the first table after a heading, without its own."""
    rows = re.search(r"^\|.*?(?=^(?!\|))", PAGE[PAGE.index(f"\n## {after}\n") :], re.MULTILINE | re.DOTALL)
    assert rows
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[0].splitlines()[2:]]


def test_the_versions_are_those_that_are_tried() -> None:
    source = (PROJECT / "tests" / "deployments" / "test_versions.py").read_text(encoding="utf-8")
    rows = table("Requirements")
    patterns = [re.sub(r", newest patch$", ".*", row[0]) for row in rows]
    oldest = re.findall(r'OLDEST, "apache-airflow==([\d.]+)"', source)
    assert list(dict.fromkeys(patterns)) == [*oldest, *VERSIONS]
    workflow = yaml.safe_load((PROJECT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    pythons = {python for row in rows for python in row[1].split(", ")}
    assert pythons <= set(workflow["jobs"]["deployments"]["strategy"]["matrix"]["python"])


def test_airflow_knows_the_commands() -> None:
    found = commands("airflow")
    assert len(found) > 6
    for command in found:
        get_parser().parse_args(command)


def test_the_connections_are_those_of_the_package() -> None:
    added = {command[2] for command in commands("airflow") if command[:2] == ["connections", "add"]}
    assert added == {settings.POSTGRES_CONNECTION, settings.VAULT_CONNECTION, settings.YOUTUBE_CONNECTION}


def test_composes_commands_name_services_that_are_there() -> None:
    found = commands("docker compose")
    assert {each[0] for each in found} == {"up", "down", "stop", "restart", "exec", "run", "logs"}
    for command in found:
        words = [word.partition("=")[0] for word in command[1:] if not word.startswith("-") and "=/" not in word]
        if command[0] in {"exec", "run"}:
            assert words[0] in COMPOSE["services"], command
        if command[0] in {"stop", "restart", "logs"}:
            assert set(words) <= set(COMPOSE["services"])
    (scaled,) = [word for each in found for word in each if word.startswith("worker=")]
    assert "replicas" in COMPOSE["services"]["worker"]["deploy"], scaled
    (vault,) = {volume.split(":")[1] for volume in COMPOSE["services"]["worker"]["volumes"] if "vault" in volume}
    assert all(vault.startswith(path) for path in re.findall(r"/opt/airflow/v\w+", PAGE))


def test_the_example_of_an_override_fits_the_compose_file() -> None:
    (text,) = (block for block in blocks("yaml") if "services:" in block)
    for name, changed in yaml.safe_load(text)["services"].items():
        assert set(changed) <= set(COMPOSE["services"][name]), name
        assert set(changed.get("environment", {})) <= set(COMPOSE["services"][name]["environment"])
        assert set(changed.get("networks", [])) <= set(COMPOSE["networks"])


def test_the_services_are_those_of_the_compose_file() -> None:
    names = [name for row in table("Docker compose") for name in re.findall(r"`([\w-]+)`", row[0])]
    assert names == list(COMPOSE["services"])
    for volume in COMPOSE["volumes"]:
        assert f"`{volume}`" in PAGE


def test_the_celery_settings_are_those_of_the_compose_file() -> None:
    environment = COMPOSE["services"]["worker"]["environment"]
    rows = table("CeleryExecutor")
    assert len(rows) == 6
    for name, value, _ in rows:
        section, option = re.fullmatch(r"`\[(\w+)\] (\w+)`", name).groups()
        variable = f"AIRFLOW__{section}__{option}".upper()
        used = environment[variable] if variable in environment else environment[f"{variable}_CMD"]
        assert used.lower() == value.strip("`").lower() or (value == "Redis" and "redis://" in used), name


def test_the_values_for_the_chart_are_those_of_the_compose_file() -> None:
    (text,) = (block for block in blocks("yaml") if "executor:" in block)
    values = yaml.safe_load(text)
    recipe = COMPOSE["services"]["airflow-init"]["build"]["dockerfile_inline"]
    assert f"FROM apache/airflow:{values['airflowVersion']}-" in recipe
    environment = COMPOSE["services"]["worker"]["environment"]
    needed = (settings.POSTGRES_CONNECTION, settings.VAULT_CONNECTION, settings.YOUTUBE_CONNECTION)
    assert {each["envName"] for each in values["secret"]} == {f"AIRFLOW_CONN_{name.upper()}" for name in needed}
    given = {each["name"]: each["value"] for each in values["env"]}
    assert given[settings.SOURCES_ENVIRONMENT] == environment[settings.SOURCES_ENVIRONMENT]
    changed = settings.parse_settings(given[f"AIRFLOW_VAR_{settings.SETTINGS_VARIABLE.upper()}"])
    assert changed.tracker_parallel_tasks == 1
