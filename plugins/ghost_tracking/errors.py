"""What can go wrong, grouped by what the caller can do about it.

`PermanentError`: a setting, a connection, a key or the input must be corrected; retrying is useless.
`TransientError`: the same call may succeed later.

The docstring of a class is its default message; the attributes keep the facts, and survive pickling.
"""

from typing import Any

from ghost_tracking.wording import printable


class GhostTrackingError(Exception):
    """Ghost Tracking could not continue."""

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        said = message or (self.__class__.__doc__ or "").strip()
        # messages quote what others have written, and end in logs and terminals
        self.message = "\n".join(printable(line, None) for line in said.split("\n"))
        self.facts = facts
        super().__init__(self.message)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.facts)


def _rebuild(cls: type[GhostTrackingError], message: str, facts: dict[str, Any]) -> GhostTrackingError:
    return cls(message, **facts)


class PermanentError(GhostTrackingError):
    """Retrying is useless until the cause that the message names is corrected."""


class TransientError(GhostTrackingError):
    """The same call may succeed later."""


class ConfigurationError(PermanentError):
    """A setting, connection, Variable or file of this deployment must be corrected."""


class BadInputError(PermanentError):
    """The input cannot be used; nothing was written."""


# YouTube


class YouTubeKeyError(ConfigurationError):
    """YouTube refuses the API key: check the password of connection 'youtube_default'."""


class ProjectRefusedError(ConfigurationError):
    """YouTube refuses the API project of connection 'youtube_default': correct the cause that its message names."""


class QuotaExhaustedError(TransientError):
    """This bucket of YouTube's quota is empty until midnight Pacific time."""

    @classmethod
    def of(cls, bucket: str) -> "QuotaExhaustedError":
        return cls(
            f"YouTube's '{bucket}' quota is used up until midnight Pacific time; the remaining videos stay due",
            bucket=bucket,
        )


class RateLimitedError(TransientError):
    """YouTube asks for fewer requests. `retry_after` has the seconds it named, or None."""


class YouTubeFaultError(TransientError):
    """YouTube returned no valid answer: a server error, a timeout, or a body that is not a JSON object."""


class CallRejectedError(PermanentError):
    """YouTube rejects the content of this call; `reasons` has its reasons, in lower case."""


class NotFoundError(PermanentError):
    """YouTube does not know this playlist or channel: it was deleted, is private or is misspelt."""


# The database


class DatabaseUnavailableError(TransientError):
    """The database of connection 'ghost_postgres' cannot be reached."""


class ClockError(TransientError):
    """The clocks of this worker and of the database differ; nothing was done."""


# What to hunt, and settings


class BadSourcesError(ConfigurationError):
    """The list of sources to hunt cannot be used."""


class BadSettingsError(ConfigurationError):
    """The Airflow Variable 'ghost_settings' cannot be used."""


# --- The vault ---


class BadPointError(BadInputError):
    """This row is not a metric point."""


class BadPointsError(BadInputError):
    """Some rows are not metric points; nothing was written."""


class VaultMismatchError(ConfigurationError):
    """This worker sees another vault than the rest of the deployment."""


class UnreadableFileError(PermanentError):
    """A file of the vault is damaged, or does not belong to the vault."""


class SchemaDriftError(UnreadableFileError):
    """The columns or types of a file differ from the vault's."""


class ForeignFileError(UnreadableFileError):
    """A symbolic link, a pipe or a device is in the place of a file or folder of the vault."""


class RosterMoveError(PermanentError):
    """Some hours of the week could not be put in order on the roster."""


class PartitionBusyError(TransientError):
    """Another process is writing this partition of the vault."""


class FileChangedError(TransientError):
    """A file of the vault was replaced while its successor was being written."""
