"""
### Example: work on what has just come in

Runs whenever Ghost Tracking has published points, and reads the partitions that were written. Copy it into your DAGs
folder and put your own work in the place of the log line.
"""

import logging
from datetime import UTC, datetime

from airflow.sdk import Asset, dag, get_current_context, task

log = logging.getLogger(__name__)


@dag(
    dag_id="example_after_metrics",
    schedule=[Asset("ghost_metrics")],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["ghost_tracking", "example"],
    doc_md=__doc__,
)
def example_after_metrics():
    @task
    def newest() -> dict:
        """Which partitions the events of this run name, and what stands in them."""
        from ghost_tracking.hooks.vault import ParquetVaultHook

        events = get_current_context()["triggering_asset_events"][Asset("ghost_metrics")]
        partitions = sorted({name for event in events for name in event.extra.get("partitions", [])})
        vault = ParquetVaultHook()
        points = {}
        for name in partitions:  # date=2026-01-15/hour=10
            day, hour = (part.partition("=")[2] for part in name.split("/"))
            start = datetime.fromisoformat(f"{day}T{hour}:00:00+00:00")
            points[name] = len(vault.read_metrics(start, start.replace(minute=59, second=59, microsecond=999_999)))
        log.info("Points by partition: %s", points)
        return points

    newest()


example_after_metrics()
