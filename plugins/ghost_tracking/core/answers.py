"""What a refusal of YouTube means: the one place that turns an HTTP answer into one of our errors.

Source: https://developers.google.com/youtube/v3/docs/errors, https://developers.google.com/youtube/v3/docs/core_errors
and recorded answers. The body is read, never the URL: messages carry no key.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ghost_tracking.core.budgets import Bucket
from ghost_tracking.errors import (
    CallRejectedError,
    GhostTrackingError,
    NotFoundError,
    ProjectRefusedError,
    QuotaExhaustedError,
    RateLimitedError,
    YouTubeFaultError,
    YouTubeKeyError,
)
from ghost_tracking.wording import printable

_QUOTA = {"quotaexceeded", "dailylimitexceeded"}
_SLOW_DOWN = {"ratelimitexceeded", "userratelimitexceeded", "rate_limit_exceeded", "resource_exhausted"}
_KEY = {
    "keyinvalid",
    "keyexpired",
    "accessnotconfigured",
    "service_disabled",
    "iprefererblocked",
    "consumer_invalid",
    "consumer_suspended",
    "dailylimitexceededunreg",
    "unauthorized",
    "autherror",
    "required",  # with 401 or 403: a login or a key is
}
_KEY_PREFIX = "api_key_"  # API_KEY_INVALID, API_KEY_SERVICE_BLOCKED, API_KEY_IP_ADDRESS_BLOCKED …
_PASSING = {"service_unavailable", "backenderror", "internalerror"}
_OF_THIS_SOURCE = {
    "playlistitemsnotaccessible",
    "playlistforbidden",
    "channelforbidden",
    "channelclosed",
    "channelsuspended",
    "watchhistorynotaccessible",
    "watchlaternotaccessible",
    "videochartnotfound",
}  # one playlist, channel or chart is closed to us; the others are not
_OF_WHAT_WAS_ASKED = (400, 413, 414)
_NOT_SERVED = (405, 501)


def classify(status: int, headers: Mapping[str, str], content: bytes, bucket: Bucket) -> GhostTrackingError:
    """The error that an HTTP answer with this status (300 and above) stands for; `bucket` is what paid the call."""
    error = _error_object(content)
    if error is None:
        return _classify_without_body(status, headers)
    reasons = {reason.lower() for reason in _reasons(error)}
    said = f"YouTube answered {status} ({printable(', '.join(sorted(reasons))) or 'no reason given'})"
    message = str(error.get("message", ""))
    if reasons & _QUOTA or (reasons & _SLOW_DOWN and _is_daily(error)):
        return QuotaExhaustedError.of(bucket)
    if _blames_key(status, reasons, message):
        return YouTubeKeyError(f"{said}: {YouTubeKeyError.__doc__}", status=status, said=said)
    if status == 429 or reasons & _SLOW_DOWN:
        return RateLimitedError(f"{said}: slow down", retry_after=_retry_after(headers))
    passes = status >= 500 or status < 400 or status == 408 or _is_passing(reasons, message)
    if passes and status not in _NOT_SERVED:
        return YouTubeFaultError(said, status=status, retry_after=_retry_after(headers))
    return _classify_refusal(status, reasons, message, said)


def _classify_refusal(status: int, reasons: set[str], message: str, said: str) -> GhostTrackingError:
    """Whom a refusal is about that will not pass: a source, what was asked for, or else the whole project."""
    if status in (404, 410) or reasons & _OF_THIS_SOURCE:
        return NotFoundError(f"{said}: {NotFoundError.__doc__}", status=status, said=said)
    if status in _OF_WHAT_WAS_ASKED:
        return CallRejectedError(f"{said}: {printable(message)}", status=status, reasons=frozenset(reasons))
    words = printable(message).strip() or "no message"
    return ProjectRefusedError(
        f"{said}: '{words}': mend the API project of connection 'youtube_default' in the Google Cloud console",
        status=status,
        said=said,
    )


def _classify_without_body(status: int, headers: Mapping[str, str]) -> GhostTrackingError:
    said = f"YouTube answered {status} with a body that is no JSON error"
    if status == 401:
        return YouTubeKeyError(f"{said}: {YouTubeKeyError.__doc__}", status=status, said=said)
    if status == 429:
        return RateLimitedError(f"{said}: slow down", retry_after=_retry_after(headers))
    if status in _OF_WHAT_WAS_ASKED:
        return CallRejectedError(said, status=status, reasons=frozenset())
    if status in (404, 410):
        return NotFoundError(f"{said}: {NotFoundError.__doc__}", status=status, said=said)
    # an HTML page comes from a front end or a proxy on the way, and it passes
    return YouTubeFaultError(said, status=status, retry_after=_retry_after(headers))


def _error_object(content: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else None


def _reasons(error: Mapping[str, Any]) -> Iterator[str]:
    """Every word that the error has for itself, wherever this kind of body keeps it."""
    for entry in (*_dicts(error.get("errors")), *_dicts(error.get("details"))):
        if isinstance(entry.get("reason"), str):
            yield entry["reason"]
    if isinstance(error.get("status"), str):
        yield error["status"]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _is_daily(error: Mapping[str, Any]) -> bool:
    """Whether the quota that is used up is one per day: the details name no shorter one, or else the message does."""
    facts = [detail["metadata"] for detail in _dicts(error.get("details")) if isinstance(detail.get("metadata"), dict)]
    limits = [f"{each.get('quota_limit', '')} {each.get('quota_unit', '')}".lower() for each in facts]
    named = [limit for limit in limits if limit.strip()]
    if not named:
        message = str(error.get("message", "")).lower()
        return "per day" in message and "per minute" not in message
    return all("perday" in limit or "1/d/" in limit for limit in named)


def _blames_key(status: int, reasons: set[str], message: str) -> bool:
    if status not in (400, 401, 403):
        return False
    named = any(reason in _KEY or reason.startswith(_KEY_PREFIX) for reason in reasons)
    return named or status == 401 or "unregistered callers" in message or "API key" in message


def _is_passing(reasons: set[str], message: str) -> bool:
    # seen on search only, and gone with the next try
    return bool(reasons & _PASSING) or "on behalf of the specified Google account" in message


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a Retry-After header; its date form is not used by Google and counts as absent."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None
