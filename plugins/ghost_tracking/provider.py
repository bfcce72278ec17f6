"""What the wheel tells Airflow of itself as a provider: the form of the connection to YouTube."""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """As Airflow's provider entry point wants it. `package-name` is the distribution's name."""
    return {
        "package-name": "ghost-tracking",
        "name": "Ghost Tracking",
        "description": "Tracks the statistics of YouTube videos for ever, on a tiny SQL footprint.",
        "connection-types": [
            {
                "connection-type": "youtube",
                "hook-class-name": "ghost_tracking.hooks.youtube.YouTubeHook",
                "hook-name": "YouTube Data API",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "port"],
                    "relabeling": {"password": "API key", "host": "Another endpoint (optional)"},
                    "placeholders": {"host": "Google's, unless set", "extra": '{"key_in": "query"} for some proxies'},
                },
            }
        ],
    }
