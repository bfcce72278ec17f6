import configparser
import json
import stat
from pathlib import Path

import pytest
import yaml

from ghost_tracking import settings
from local_stack.airflow_config import AirflowConfig, clean_environment
from local_stack.airflow_settings import read_settings
from local_stack.errors import StackError
from local_stack.layout import PROJECT, StateFolder, write_private
from local_stack.run import usual_state


@pytest.fixture
def state(tmp_path):
    folder = StateFolder(tmp_path / "state")
    folder.create()
    return folder


def config(state, **changes):
    return AirflowConfig(
        **{
            "state": state,
            "dags_folder": Path("/dags"),
            "plugins_folder": Path("/plugins"),
            "port": 8123,
            "postgres_socket": Path("/socket"),
            "postgres_user": "postgres",
            **changes,
        }
    )


def written(state):
    parser = configparser.ConfigParser()
    parser.read(state.airflow_home / "airflow.cfg")
    return parser


# airflow_settings.yaml


def test_the_projects_file_names_what_the_package_looks_for():
    found = read_settings(PROJECT / "airflow_settings.yaml")

    assert {connection["connection_id"] for connection in found.connections} == {
        settings.POSTGRES_CONNECTION,
        settings.VAULT_CONNECTION,
        settings.YOUTUBE_CONNECTION,
    }
    assert [pool["name"] for pool in found.pools] == ["ghost_tracker"]
    assert found.variables == ()


def test_nothing_is_given_to_airflow_that_it_takes_for_a_secret_too_short_to_be_masked():
    found = read_settings(PROJECT / "airflow_settings.yaml").with_overrides({"ghost_postgres": {"host": "/socket"}})

    extras = {connection["connection_id"]: connection["extra"] for connection in found.connections}
    assert (extras["ghost_postgres"], extras["youtube_default"]) == (None, None)
    assert json.loads(extras["ghost_vault"])["path"]


def test_overrides_replace_fields_and_merge_extra(tmp_path):
    path = tmp_path / "settings.yaml"
    row = {"conn_id": "db", "conn_type": "postgres", "conn_host": "old", "conn_schema": "s", "conn_extra": {"a": 1}}
    path.write_text(yaml.safe_dump({"airflow": {"connections": [row]}}))

    changed = read_settings(path).with_overrides({"db": {"host": "new", "extra": {"b": 2}}}).connection("db")

    assert (changed["host"], changed["schema"]) == ("new", "s")
    assert json.loads(changed["extra"]) == {"a": 1, "b": 2}


def test_an_override_for_a_connection_that_the_file_lacks_is_an_error(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("airflow: {connections: []}")

    with pytest.raises(StackError, match="no connection 'db'"):
        read_settings(path).with_overrides({"db": {}})


@pytest.mark.parametrize("text", ["[", "airflow: {connections: [{conn_type: postgres}]}", "- 1"])
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "settings.yaml"
    path.write_text(text)

    with pytest.raises(StackError, match=r"settings\.yaml cannot be read"):
        read_settings(path)


# airflow.cfg


def test_the_execution_api_follows_the_port(state):
    config(state, port=8123).write()

    assert written(state)["core"]["execution_api_server_url"] == "http://127.0.0.1:8123/execution/"


def test_everything_listens_on_loopback(state):
    config(state).write()

    assert written(state)["api"]["host"] == "127.0.0.1"


def test_secrets_are_made_once_and_readable_by_their_owner_only(state):
    config(state).write()
    first = written(state)
    password = config(state).password
    config(state).write()

    assert written(state)["core"]["fernet_key"] == first["core"]["fernet_key"]
    assert written(state)["api_auth"]["jwt_secret"] == first["api_auth"]["jwt_secret"]
    assert config(state).password == password
    private = [state.airflow_home / "airflow.cfg", *(state.airflow_home / "secrets").iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


def test_extra_options_win_and_percent_signs_survive(state):
    config(state, extra={"core": {"parallelism": "2"}, "logging": {"log_format": "%(message)s"}}).write()

    parser = configparser.ConfigParser()
    parser.read(state.airflow_home / "airflow.cfg")
    assert parser.get("core", "parallelism") == "2"
    assert parser.get("logging", "log_format") == "%(message)s"


def test_a_private_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


# The environment of what the stack starts


def test_children_get_neither_the_api_key_nor_another_airflows_settings(state, monkeypatch):
    monkeypatch.setenv("YOUTUBE_API_KEY", "sesame")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://production")
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_POSTGRES", "postgresql://production")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PGHOST", "production")

    environment = clean_environment(state)

    assert "sesame" not in environment.values()
    assert not [name for name in environment if "production" in environment[name]]
    assert "PYTHONPATH" not in environment
    assert environment["AIRFLOW_HOME"] == str(state.airflow_home)


def test_loopback_is_kept_from_proxies_beside_what_the_user_excluded(state, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "intranet")

    assert clean_environment(state)["NO_PROXY"] == "127.0.0.1,localhost,intranet"


def test_invented_videos_and_youtubes_never_share_a_vault():
    assert StateFolder(usual_state(None)).vault != StateFolder(usual_state("key")).vault
