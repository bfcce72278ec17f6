"""Messages of the page when a request fails."""

import logging
from typing import Final

from ghost_tracking.errors import GhostTrackingError

log = logging.getLogger(__name__)

UNEXPECTED: Final = "Unexpected error. See the log of Airflow's API server. Reloading the page may help."
NOT_FOR_YOU: Final = (
    "Ghost Tracking's database or vault does not answer or is not set up. The reason is in the log of Airflow's API "
    "server; users who may read Airflow's connections see it here."
)


def user_message(error: Exception, *, sees_connections: bool = True) -> str:
    """What the person at the page is shown: no traceback, and no secret that Airflow knows.

    Hosts and paths are for those who may see Airflow's connections; others are sent to them.
    """
    if not sees_connections:
        log.warning("The page could not answer", exc_info=error)
        return NOT_FOR_YOU
    if isinstance(error, GhostTrackingError):
        return without_secrets(error.message)
    if isinstance(error, OSError) and error.errno is not None:
        return without_secrets(f"The vault cannot be read: {error.strerror or error}. Check its storage.")
    if isinstance(error, ImportError) and error.name:
        return f"Airflow's API server lacks the package '{error.name}': install requirements.txt there as well."
    log.error("The page could not answer", exc_info=error)
    return UNEXPECTED


def without_secrets(text: str) -> str:
    """The text with *** for every password that Airflow has handed out in this process."""
    from airflow.sdk.log import redact  # type: ignore[attr-defined]

    redacted = redact(text)
    return redacted if isinstance(redacted, str) else UNEXPECTED
