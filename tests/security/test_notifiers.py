"""Whoever may edit Variables writes notifiers and their texts: he learns no password and imports nothing by that."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseNotifier

from ghost_tracking.core.alerts import Alert, Kind
from ghost_tracking.settings import NOTIFIERS_ENVIRONMENT
from ghost_tracking.tasks.notifications import notifiers, send

ALERT = Alert(Kind.PROMOTION, "something grows")
NAMES: list[Any] = [
    *("ghost_trap.Trap", "ghost_trap", "airflow.providers", "airflow.providers.", "", ".", "antigravity.x"),
    *("airflow.providers..x", "airflow.providers.x;y", "ghost_trap.\u202eTrap", None, 5, ["ghost_trap.Trap"]),
]
SENT: list[str] = []
CONTEXT: dict[str, Any] = {}


class Postcard(BaseNotifier):
    """Sends what it is told, and remembers what it was handed."""

    template_fields = ("text",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        CONTEXT.update(context)
        SENT.append(self.text)


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    SENT.clear()
    CONTEXT.clear()
    monkeypatch.setenv("AIRFLOW_CONN_YOUTUBE_DEFAULT", json.dumps({"conn_type": "generic", "password": "hunter2"}))
    monkeypatch.setenv("AIRFLOW_VAR_TOKEN", "hunter2")
    monkeypatch.setenv(NOTIFIERS_ENVIRONMENT, f"{__name__}.Postcard")


def say(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    entry = {"notifier": f"{__name__}.Postcard", "arguments": {"text": text}}
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", json.dumps([entry]))
    send([ALERT])


def test_the_alerts_own_words_are_all_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, "{{ ghost_alert_kind }}: {{ ghost_alert }}")
    assert SENT == ["promotion: Ghost Tracking: something grows"]
    # the notifier's own fields are Airflow's doing
    assert CONTEXT.keys() - {"text"} == {"ghost_alert", "ghost_alert_kind"}


@pytest.mark.parametrize(
    "text",
    [
        "{{ conn.youtube_default.password }}",
        "{{ conn.youtube_default.password[::-1] }}",
        "{{ var.value.token }}",
        "{{ var.json.get('token') }}",
        "{{ dag_run.conf }}{{ params }}{{ ti }}{{ dag }}{{ macros }}{{ task }}",
        "{{ macros.datetime.sys.modules }}",
        "{{ ghost_alert.__class__.__mro__ }}",
        "{{ ghost_alert.__class__.__base__.__subclasses__() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'].environ }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{% include '/etc/passwd' %}",
        "{{ '%s' | format(conn) }}",
    ],
)
def test_no_template_reaches_further(
    text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    say(monkeypatch, text)
    said = " ".join(SENT)
    assert said.strip() == ""
    assert "hunter2" not in said + caplog.text
    assert "2retnuh" not in said + caplog.text


def test_nothing_is_imported_that_is_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ghost_trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w').close()\nclass Trap: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in NAMES:
        monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", json.dumps([{"notifier": name}]))
        caplog.clear()
        send([ALERT])
        assert "No alert is sent: Airflow Variable 'ghost_notifiers', entry 1: " in caplog.text
    assert not (tmp_path / "sprung").exists()
    assert {"ghost_trap", "antigravity"}.isdisjoint(sys.modules)


def test_without_a_word_of_the_deployment_airflows_providers_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NOTIFIERS_ENVIRONMENT)
    name = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", json.dumps([{"notifier": name, "arguments": {"to": "a@b.c"}}]))
    assert [type(each).__name__ for each in notifiers()] == ["SmtpNotifier"]
    monkeypatch.setenv(NOTIFIERS_ENVIRONMENT, "")  # nobody at all
    with pytest.raises(Exception, match="not a notifier that this deployment allows"):
        notifiers()
