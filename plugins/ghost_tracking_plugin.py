"""What Airflow's plugin loader sees: its content lives in the package, so that a wheel can name it too."""

from ghost_tracking.plugin import GhostTrackingPlugin

__all__ = ["GhostTrackingPlugin"]
