"""Ghost Tracking as an Airflow plugin."""

from airflow.plugins_manager import AirflowPlugin


class GhostTrackingPlugin(AirflowPlugin):
    """Makes Ghost Tracking show under Airflow's Admin > Plugins."""

    name = "ghost_tracking"
