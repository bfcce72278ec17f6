"""Whoever looks at the page, and what Airflow lets them see: the page shows of Airflow's own only that."""

from dataclasses import dataclass
from typing import Final

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep

from ghost_tracking.page.runs import DAGS
from ghost_tracking.settings import POSTGRES_CONNECTION, VAULT_CONNECTION

_OF_RUNS: Final = (DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
"""What the page shows of a DAG's runs: their states, the task that failed, the message in a task's result."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """`dag_ids`: those of the three DAGs whose runs they may read; `sees_connections`: whether they may know where the
    database and the vault are.
    """

    dag_ids: tuple[str, ...]
    sees_connections: bool


def viewer(user: GetUserDep) -> Viewer:
    """What Airflow's auth manager says of whoever is signed in."""
    manager = get_auth_manager()

    def may_read(dag_id: str) -> bool:
        details = DagDetails(id=dag_id)
        return all(
            manager.is_authorized_dag(method="GET", access_entity=entity, details=details, user=user)
            for entity in _OF_RUNS
        )

    return Viewer(
        tuple(filter(may_read, DAGS)),
        all(
            manager.is_authorized_connection(method="GET", details=ConnectionDetails(conn_id=each), user=user)
            for each in (POSTGRES_CONNECTION, VAULT_CONNECTION)
        ),
    )
