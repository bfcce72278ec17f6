"""Whole runs of the DAGs' tasks, called as plain functions over real parts."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from ghost_tracking.tasks import hunter, publishing, tracker
from youtube_simulator import SimulatorServer

NO_INTERVAL = (None, None)


@dataclass
class Deployment:
    """Connections, Variables and files as the tasks find them."""

    server: SimulatorServer
    vault: Path
    sources: Path
    set_settings: Callable[..., None]

    def hunt(
        self,
        form: dict[str, Any],
        run_type: str = "manual",
        interval: tuple = NO_INTERVAL,
        run_id: str | None = None,
    ) -> dict[str, Any]:
        """A whole hunter run."""
        planned = hunter.plan(run_type, interval, form, run_id)
        self.labels: list[str] = []
        reports = [
            hunter.hunt(batch, run_type, interval, form, self.labels.append, run_id) for batch in planned["batches"]
        ]
        publishing.publish(discoveries=True)
        return hunter.summary(planned["why"], reports)

    def track(self, run_type: str = "scheduled", **form: Any) -> dict[str, Any]:
        """A whole tracker run."""
        planned = tracker.plan(run_type, form)
        assert len(json.dumps(planned)) < 10_000
        self.labels = []
        reports = [tracker.track(batch, self.labels.append, form) for batch in planned["batches"]]
        publishing.publish(prepares=True)
        return tracker.summary(planned["why"], reports)

    def wait_a_second(self) -> None:
        """Until the clock shows another one: two readings of a video in the same second are one point."""
        time.sleep(1 - time.time() % 1 + 0.01)

    def points(self) -> pd.DataFrame:
        """The vault, as an analyst reads it."""
        return pd.read_parquet(self.vault / "metrics")

    def alive(self, number: int) -> list[str]:
        """Ids of recent videos that are there."""
        world, now = self.server.simulator.world, self.server.simulator.clock.now()
        return [v.id for v in world.newest(now, now - timedelta(days=9)) if world.available(v, now)][:number]
