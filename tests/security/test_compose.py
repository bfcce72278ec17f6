"""Secrets for docker-compose.yaml, against who might look at them, and input that might become something else."""

import os
import re
import stat
from pathlib import Path

import pytest
import yaml

from compose_secrets import API_KEY, SCRIPT, make_secrets, run_script
from local_stack.layout import PROJECT

COMPOSE = (PROJECT / "docker-compose.yaml").read_text(encoding="utf-8")


def test_nobody_else_on_the_machine_gets_at_the_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = make_secrets(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o644}, "containers read them as users of their own"


def test_secrets_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    folder = make_secrets(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = run_script(tmp_path, YOUTUBE_API_KEY="another")
    assert again.returncode == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"include", "secrets"}


def test_no_two_secrets_are_the_same(tmp_path: Path) -> None:
    texts = [path.read_text() for place in ("one", "two") for path in make_secrets(tmp_path / place).iterdir()]
    drawn = set(re.findall(r"\b[0-9a-f]{24,}\b", " ".join(texts)))
    assert len(drawn) == 2 * 6
    assert all(re.fullmatch(r"[0-9a-f]{24}|[0-9a-f]{48}|[0-9a-f]{64}", each) for each in drawn)


@pytest.mark.parametrize("key", ["", " ", 'a"b', "a b", "a'b", "$(id)", "a\nb", "a\\b", "ключ", "{}", "a;b"])
def test_a_key_that_is_none_makes_nothing(tmp_path: Path, key: str) -> None:
    done = run_script(tmp_path, YOUTUBE_API_KEY=key)
    assert done.returncode == 1
    assert {path.name for path in tmp_path.iterdir()} == {"include"}
    assert not key.strip() or key not in done.stdout + done.stderr


@pytest.mark.parametrize("program", ["od", "base64", "tr"])
@pytest.mark.parametrize("answer", ["exit 1", "echo short"])
def test_a_machine_that_draws_nothing_gets_no_empty_password(tmp_path: Path, program: str, answer: str) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / program).write_text(f"#!/bin/sh\n{answer}\n")
    (programs / program).chmod(0o755)
    checkout = tmp_path / "checkout"
    done = run_script(checkout, YOUTUBE_API_KEY=API_KEY, PATH=f"{programs}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert {path.name for path in checkout.iterdir()} == {"include"}


def test_the_script_says_no_secret(tmp_path: Path) -> None:
    done = run_script(tmp_path, YOUTUBE_API_KEY=API_KEY)
    said = done.stdout + done.stderr
    assert API_KEY not in said
    assert not re.search(r"[0-9a-f]{20}", said)
    assert "set -x" not in SCRIPT.read_text()


def test_nothing_of_a_secret_is_in_the_compose_file() -> None:
    assert set(re.findall(r"(?<!\$)\$\{?(\w+)", COMPOSE)) == {"AIRFLOW_PORT"}, "what compose fills in"
    services = yaml.safe_load(COMPOSE)["services"]
    variables = {name: value for service in services.values() for name, value in service.get("environment", {}).items()}
    for name, value in variables.items():
        if re.search(r"(?i)password|secret|(?<!_)key|token", name):
            assert re.search(r"_CMD$|_FILE$|BACKEND", name), name
            assert re.search(r"^cat /run/secrets/\w+$|^/|/run/secrets/|^airflow\.secrets\.", value), name


def test_git_and_the_image_leave_secrets_out() -> None:
    assert "/secrets/" in (PROJECT / ".gitignore").read_text().splitlines()
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert not [line for line in ignored if "secrets" in line]
