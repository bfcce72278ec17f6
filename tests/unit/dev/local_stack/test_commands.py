"""The Makefile and the installer: what can be held without running a stack."""

import os
import re
import shutil
import subprocess

import pytest

from local_stack.__main__ import main
from local_stack.layout import PROJECT

MAKEFILE = (PROJECT / "Makefile").read_text()


def test_make_lists_every_target():
    listed = subprocess.run(["make", "-s"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)

    assert phony is not None
    assert re.findall(r"^  make ([a-z-]+)", listed, re.MULTILINE) == phony[1].split()


@pytest.mark.parametrize("command", ["status", "airflow"])
def test_what_is_asked_of_nothing_that_runs_is_answered_in_one_sentence(command, tmp_path, capsys):
    for files in ((), ("airflow/environment.json", "processes.json")):
        for file in files:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_text("{}" if "environment" in file else "[]")
        assert main([command, "--state", str(tmp_path)]) == 1
        assert capsys.readouterr().err == f"Nothing runs in {tmp_path}: start it with make run\n"


def test_the_vault_is_that_of_the_stack_that_was_started_last(tmp_path, monkeypatch, capsys):
    called = []
    monkeypatch.setattr(os, "execve", lambda *arguments: called.append(arguments[1]))
    monkeypatch.setattr("local_stack.run.usual_state", lambda key: tmp_path / "youtube" if key else tmp_path)
    main(["vault", "health"])
    for folder, started in ((tmp_path, 100), (tmp_path / "youtube", 200)):
        environment = folder / "airflow" / "environment.json"
        environment.parent.mkdir(parents=True)
        environment.write_text("{}")
        os.utime(environment, (started, started))
    main(["vault", "find", "rick", "astley"])

    assert [command[-3:] for command in called] == [
        ["--vault", f"{tmp_path}/vault", "health"],
        ["find", "rick", "astley"],
    ]
    assert called[1][4] == f"{tmp_path}/youtube/vault"
    assert f"The vault in {tmp_path}/youtube/vault" in capsys.readouterr().err


@pytest.fixture
def bare_path(tmp_path):
    """A PATH with what every system has, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "cmp", "grep", "sed", "cat"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    (folder / "dev/local_stack").mkdir(parents=True)
    shutil.copy(PROJECT / "dev/local_stack/install.sh", folder / "dev/local_stack")
    shutil.copy(PROJECT / "requirements.lock", folder)
    return folder


def install(checkout, path):
    return subprocess.run(
        ["sh", "dev/local_stack/install.sh"],
        cwd=checkout,
        env={"PATH": str(path), "HOME": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )


def fake_python(folder, answers):
    program = folder / "python3"
    cases = "".join(f"*{text}*) exit {code};; " for text, code in answers.items())
    program.write_text(f'#!/bin/sh\ncase "$*" in {cases} esac\n')
    program.chmod(0o755)


def test_without_python_the_installer_says_so_in_one_line(checkout, bare_path):
    result = install(checkout, bare_path)

    assert result.returncode == 1
    assert result.stderr.startswith("Ghost Tracking needs Python 3.11")
    assert result.stderr.count("\n") == 1


def test_an_old_python_is_passed_over(checkout, bare_path):
    fake_python(bare_path, {"version_info": 1})

    assert "none was found" in install(checkout, bare_path).stderr


def test_a_python_without_venv_is_told_from_none(checkout, bare_path):
    fake_python(bare_path, {"version_info": 0, "ensurepip": 1})
    result = install(checkout, bare_path)

    assert result.returncode == 1
    assert "python3-venv" in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_installed_lock_is_not_installed_again(checkout, bare_path):
    (checkout / ".venv/bin").mkdir(parents=True)
    fake_python(bare_path, {"version_info": 0})
    (bare_path / "python3").rename(checkout / ".venv/bin/python")
    shutil.copy(checkout / "requirements.lock", checkout / ".venv/installed.lock")
    result = install(checkout, bare_path)

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_key_reaches_no_recipe_but_run():
    recipes = [line for line in MAKEFILE.splitlines() if line.startswith("\t")]
    starting = [line for line in recipes if re.search(r"\$\(STACK\)|pytest|-m benchmarks", line)]

    assert len(starting) == 14
    assert [line for line in starting if "$(CLEAN)" not in line] == ["\t@exec env $(STACK) run"]
    assert os.access(PROJECT / ".ci/run", os.X_OK)
