"""What can go wrong, grouped by what the caller can do about it.

`PermanentError`: somebody must mend a setting, a connection, a key or the input; trying again is useless.
`TransientError`: the same call may go through later.

The docstring of a class is its default message; the attributes keep the facts, and survive pickling.
"""

from typing import Any


class GhostTrackingError(Exception):
    """Ghost Tracking could not go on."""

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        self.message = message or (self.__class__.__doc__ or "").strip()
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
    """Trying again is useless until somebody mends what the message names."""


class TransientError(GhostTrackingError):
    """The same call may go through later."""


class ConfigurationError(PermanentError):
    """A setting, connection, variable or file of this deployment needs mending."""


class BadInputError(PermanentError):
    """What the caller passed in cannot be used; nothing was written."""
