"""Ghost Tracking as an Airflow plugin."""

from airflow.plugins_manager import AirflowPlugin

from ghost_tracking.page import URL_PREFIX, Page


class GhostTrackingPlugin(AirflowPlugin):
    """Shows Ghost Tracking's page in Airflow's navigation."""

    name = "ghost_tracking"
    fastapi_apps = [{"app": Page(), "url_prefix": URL_PREFIX, "name": "Ghost Tracking"}]  # noqa: RUF012 - as Airflow's
    external_views = [  # noqa: RUF012
        {
            "name": "Ghost Tracking",
            # relative: under a base_url with a path, an address from the first / on would miss it
            "href": f"{URL_PREFIX.strip('/')}/",
            "destination": "nav",
            "url_route": "ghost_tracking",
        }
    ]
