"""YouTubeHook: YouTube's Data API v3 at the endpoint that an Airflow connection names."""

import re

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowException

from ghost_tracking import settings
from ghost_tracking.core.budgets import CallBudget
from ghost_tracking.errors import ConfigurationError
from ghost_tracking.youtube import ApiCalls, Endpoint, YouTubeClient


class YouTubeHook(YouTubeClient, BaseHook):
    """YouTube's Data API v3, by an API key, with the verbs of `YouTubeClient`.

    `YouTubeHook()` uses Airflow's connection `youtube_default`: password: the API key; host (optional): another
    endpoint than Google's, such as http://127.0.0.1:8765/; extra (optional): {"key_in": "query"} sends the key as a
    parameter of the URL instead of a header. `YouTubeHook(connection=Connection(…))` works outside of Airflow too.
    The connection is looked up by the first call; ConfigurationError says what it lacks.

    :param youtube_conn_id: the connection that has the key
    :param connection: the connection itself, instead of its id
    :param budget: every request is paid from it before it is sent; without one, calls are not counted
    :param threads: calls that are under way at a time
    :param timeout: seconds without a byte
    """

    conn_name_attr = "youtube_conn_id"
    default_conn_name = settings.YOUTUBE_CONNECTION
    conn_type = "youtube"
    hook_name = "YouTube Data API"

    def __init__(
        self,
        youtube_conn_id: str = default_conn_name,
        *,
        connection: Connection | None = None,
        budget: CallBudget | None = None,
        threads: int = 4,
        timeout: float = 20.0,
    ) -> None:
        BaseHook.__init__(self)
        self.youtube_conn_id = youtube_conn_id
        self._connection = connection
        YouTubeClient.__init__(self, ApiCalls(self.endpoint, budget, timeout), threads)

    def endpoint(self) -> Endpoint:
        """The endpoint that the connection names. Raises ConfigurationError where it names none that can be used."""
        connection = self._connection or self._find_connection()
        key = (connection.password or "").strip()
        if not key:
            raise ConfigurationError(f"connection '{self.youtube_conn_id}' has no password: put the API key there")
        if not key.isascii() or not key.isprintable():
            raise ConfigurationError(f"the password of connection '{self.youtube_conn_id}' cannot be an API key")
        return Endpoint(key, _url(connection), key_in_query=connection.extra_dejson.get("key_in", "header") == "query")

    def _find_connection(self) -> Connection:
        try:
            connection: Connection = Connection.get(self.youtube_conn_id)
            return connection
        except AirflowException as error:
            raise ConfigurationError(
                f"connection '{self.youtube_conn_id}' is not defined: add one with the API key as password, "
                "in Airflow's Admin > Connections"
            ) from error


def _url(connection: Connection) -> str | None:
    """The endpoint that a connection names: a URL as host, or scheme, host and port in their own fields."""
    host = (connection.host or "").strip()
    if not host:
        return None
    if "://" not in host:
        near = host.partition(":")[0] in ("127.0.0.1", "localhost")
        host = f"{connection.schema or ('http' if near else 'https')}://{host}"
    if connection.port and not re.search(r":\d+/?$", host):
        host = f"{host.rstrip('/')}:{connection.port}"
    return host.rstrip("/") + "/"
