"""Connections, pools and variables: read from airflow_settings.yaml, handed to Airflow's API.

The file has the format of Astro's command line, so that it is written once for both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local_stack.airflow_api import AirflowApi
from local_stack.errors import StackError

Entity = dict[str, Any]


@dataclass(frozen=True)
class AirflowSettings:
    """Bodies for Airflow's API."""

    connections: tuple[Entity, ...]
    pools: tuple[Entity, ...]
    variables: tuple[Entity, ...]

    def connection(self, connection_id: str) -> Entity:
        """The connection of that id."""
        for connection in self.connections:
            if connection["connection_id"] == connection_id:
                return connection
        raise StackError(f"airflow_settings.yaml has no connection {connection_id!r}")

    def with_overrides(self, overrides: Mapping[str, Entity]) -> AirflowSettings:
        """The same with some fields of some connections replaced; `extra` is merged."""
        for connection_id in overrides:
            self.connection(connection_id)
        return AirflowSettings(
            connections=tuple(
                _override(connection, overrides.get(connection["connection_id"], {})) for connection in self.connections
            ),
            pools=self.pools,
            variables=self.variables,
        )

    def apply(self, api: AirflowApi, *, keep_edited: bool) -> None:
        """Write everything into Airflow.

        Connections are always written: their addresses can differ from one start to the next. With
        `keep_edited`, pools and variables that exist stay as somebody may have changed them.
        """
        existing = "skip" if keep_edited else "overwrite"
        for path, entities, on_existence in (
            ("connections", self.connections, "overwrite"),
            ("pools", self.pools, existing),
            ("variables", self.variables, existing),
        ):
            if not entities:
                continue
            action = {"action": "create", "entities": list(entities), "action_on_existence": on_existence}
            answer = api("PATCH", path, {"actions": [action]})
            errors = (answer.get("create") or {}).get("errors")
            if errors:
                raise StackError(f"Airflow refused {path} of airflow_settings.yaml: {json.dumps(errors)}")


def read_settings(path: Path) -> AirflowSettings:
    """Read the file; a missing field is an empty one."""
    try:
        document = yaml.safe_load(path.read_text()) or {}
        content = document.get("airflow") or {}
        return AirflowSettings(
            connections=tuple(_connection(row) for row in content.get("connections") or ()),
            pools=tuple(_pool(row) for row in content.get("pools") or ()),
            variables=tuple(_variable(row) for row in content.get("variables") or ()),
        )
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise StackError(f"{path} cannot be read: {error!r}") from error


def _connection(row: Mapping[str, Any]) -> Entity:
    extra = row.get("conn_extra") or {}
    if isinstance(extra, str):
        extra = json.loads(extra)
    return {
        "connection_id": row["conn_id"],
        "conn_type": row["conn_type"],
        "host": row.get("conn_host") or None,
        "schema": row.get("conn_schema") or None,
        "login": row.get("conn_login") or None,
        "password": row.get("conn_password") or None,
        "port": int(row["conn_port"]) if row.get("conn_port") else None,
        "extra": json.dumps(extra) if extra else None,  # Airflow would take {} for a secret, too short to be masked
    }


def _pool(row: Mapping[str, Any]) -> Entity:
    return {
        "name": row["pool_name"],
        "slots": int(row["pool_slot"]),
        "description": row.get("pool_description") or "",
        "include_deferred": False,
    }


def _variable(row: Mapping[str, Any]) -> Entity:
    value = row.get("variable_value")
    return {
        "key": row["variable_name"],
        "value": value if isinstance(value, str) else json.dumps(value),
        "description": row.get("variable_description") or None,
    }


def _override(connection: Entity, fields: Entity) -> Entity:
    extra = json.loads(connection["extra"] or "{}") | fields.get("extra", {})
    return {**connection, **fields, "extra": json.dumps(extra) if extra else None}
