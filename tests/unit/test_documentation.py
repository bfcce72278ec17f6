"""What can be set is documented, and what is documented can be set."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from ghost_tracking import settings

ROOT = Path(__file__).parents[2]
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
    assert table("Settings") == {name: [str(field.default), field.description] for name, field in fields.items()}


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


def test_links_in_the_documentation_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in (page for page in pages if page.is_file()):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", text):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_wheel_and_a_deployment_need_the_same() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    deployment = {line for line in lines if line and not line.startswith(("#", "pytest"))}
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert set(wheel) == deployment
