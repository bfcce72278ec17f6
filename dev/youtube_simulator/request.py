"""A call as the API understands it: its path and its parameters, checked as the API checks them."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from . import errors, paging
from .clock import as_utc
from .paging import BadPageTokenError, Page

IDS_A_CALL = 50
_SOURCES = ("playlistId", "channelId", "forHandle", "q", "regionCode")
KeyPlace = Literal["header", "query", "none"]


@dataclass(frozen=True, slots=True)
class Request:
    """One call: its path below /youtube/v3/, its parameters with all their values, without the key."""

    path: str
    params: dict[str, list[str]]
    key: str | None = field(default=None, repr=False)
    key_place: KeyPlace = "none"

    def one(self, name: str) -> str | None:
        """Give the first value of a parameter, None when it is missing or empty."""
        return next((value for value in self.params.get(name, ()) if value), None)

    def many(self, name: str) -> list[str]:
        """Give all values of a parameter, repeated or joined by commas, each once, in order."""
        values = (part.strip() for value in self.params.get(name, ()) for part in value.split(","))
        return list(dict.fromkeys(value for value in values if value))

    def ids(self) -> list[str]:
        """Give the ids asked for; raise ApiError 400 for more than 50."""
        values = self.many("id")
        if len(values) > IDS_A_CALL:
            raise errors.invalid_filters("id")
        return values

    def sources(self) -> list[str]:
        """Give the channels, playlists, queries and regions that the call is about."""
        return [value for name in _SOURCES for value in self.params.get(name, ()) if value]

    def parts(self, known: Collection[str]) -> list[str]:
        """Give the parts asked for; raise ApiError 400 when there is none or an unknown one."""
        parts = self.many("part")
        if not parts:
            raise errors.missing_parameter("part")
        for part in parts:
            if part not in known:
                raise errors.unknown_part(part)
        return parts

    def page(self, smallest: int = 0) -> Page:
        """Give the page asked for: maxResults (default 5, at most 50) and pageToken; else ApiError 400."""
        text = self.one("maxResults") or "5"
        if not text.isascii() or not text.isdigit() or not smallest <= int(text) <= IDS_A_CALL:
            raise errors.invalid_value("maxResults", text)
        try:
            return paging.decode(self.one("pageToken"), int(text))
        except BadPageTokenError:
            raise errors.invalid_page_token() from None

    def moment(self, name: str) -> datetime | None:
        """Give a parameter as a UTC time, None when it is missing; raise ApiError 400 unless RFC 3339."""
        text = self.one(name)
        if text is None:
            return None
        try:
            return as_utc(datetime.fromisoformat(text))
        except (ValueError, OverflowError):
            raise errors.invalid_value(name, text) from None
