"""What the package says of itself is true, and said once."""

import hashlib
import re
import tomllib
from importlib.metadata import EntryPoint

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import ghost_tracking
from documentation import ROOT
from ghost_tracking.__main__ import main, run
from ghost_tracking.provider import get_provider_info

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
CI = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))


def pythons() -> list[str]:
    found = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each) for each in PROJECT["classifiers"])
    return [each[1] for each in found if each]


def test_the_version_is_the_same_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+) - (unreleased|\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    assert newest
    assert PROJECT["version"] == ghost_tracking.__version__ == newest[1]


def test_every_python_that_is_named_is_allowed_and_tried() -> None:
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert all(allowed.contains(python) for python in pythons())
    assert not allowed.contains("3.10")
    assert CI["jobs"]["test"]["strategy"]["matrix"]["python"] == pythons()
    assert PYPROJECT["tool"]["mypy"]["python_version"] == pythons()[0]


@pytest.mark.parametrize(("version", "allowed"), [("3.1.9", False), ("3.2.0", True), ("3.9.0", True), ("4.0.0", False)])
def test_any_airflow_3_from_3_2_on_is_allowed(version: str, allowed: bool) -> None:
    (airflow,) = [
        each for each in map(Requirement, PROJECT["optional-dependencies"]["airflow"]) if each.name == "apache-airflow"
    ]
    assert airflow.specifier.contains(version) is allowed


def test_the_entry_points_lead_somewhere() -> None:
    points = PROJECT["entry-points"]
    assert EntryPoint("ghost-tracking", PROJECT["scripts"]["ghost-tracking"], "console_scripts").load() is run
    assert EntryPoint("", points["airflow.plugins"]["ghost_tracking"], "").load().name == "ghost_tracking"
    assert EntryPoint("", points["apache_airflow_provider"]["provider_info"], "").load() is get_provider_info


@pytest.mark.parametrize("called", ["ghost-tracking", "/opt/bin/ghost-tracking"])
def test_the_command_goes_by_the_name_that_it_was_called_by(
    called: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [called, "--help"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert capsys.readouterr().out.startswith("usage: ghost-tracking ")


def test_the_license_is_apaches_as_it_was_published() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == (
        "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    )
    assert all((ROOT / file).is_file() for file in PROJECT["license-files"])


def test_nothing_that_only_tests_need_is_deployed() -> None:
    for file in ("requirements.txt", "pyproject.toml"):
        assert "pytest>" not in (ROOT / file).read_text(encoding="utf-8")


def test_ci_runs_what_a_change_has_to_pass() -> None:
    needed = set(re.findall(r"^make (\S+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE))
    steps = [step for job in CI["jobs"].values() for step in job["steps"]]
    made = {found[1] for step in steps if (found := re.fullmatch(r"make (\S+)", step.get("run", "")))}
    assert made | set(CI["jobs"]["whole"]["strategy"]["matrix"]["target"]) == needed


def test_workflows_have_no_more_rights_than_they_need_and_pin_what_they_use() -> None:
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = file.read_text(encoding="utf-8")
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
        assert re.findall(r"uses: (?!\S+@[0-9a-f]{40} # v\d)(.*)", text) == []


def test_the_site_has_every_page() -> None:
    # the site's own tags, such as !!python/object, are of no concern here
    nav = re.search(r"^nav:\n(.*?)^\S", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert nav
    assert set(re.findall(r"[\w/-]+\.md", nav[1])) == {
        *(page.name for page in (ROOT / "docs").glob("*.md")),
        "decisions/README.md",
    }
