"""Error answers in the shapes that Google's APIs give them."""

from http import HTTPStatus
from typing import Any

from .quota import Bucket

Json = dict[str, Any]
SERVICE = "youtube.googleapis.com"
_QUOTA_MESSAGE = (
    'The request cannot be completed because you have exceeded your <a href="/youtube/v3/getting-started#quota">'
    "quota</a>."
)
_CONSUMER = "project_number:000000000000"


class ApiError(Exception):
    """An answer that is an error: an HTTP status, a Google-shaped body and perhaps Retry-After."""

    def __init__(self, status: int, body: Json, retry_after: float | None = None) -> None:
        """Keep what is answered; `retry_after` is in seconds."""
        super().__init__(status)
        self.status = status
        self.body = body
        self.retry_after = retry_after


def _body(
    code: int,
    message: str,
    reason: str,
    domain: str,
    *,
    location: tuple[str, str] | None = None,
    status: str | None = None,
    details: list[Json] | None = None,
) -> Json:
    entry: Json = {"message": message, "domain": domain, "reason": reason}
    if location is not None:
        entry["location"], entry["locationType"] = location
    error: Json = {"code": code, "message": message, "errors": [entry]}
    if status is not None:
        error["status"] = status
    if details is not None:
        error["details"] = details
    return {"error": error}


def _error_info(reason: str, **metadata: str) -> Json:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": SERVICE, **metadata},
    }


def missing_key() -> ApiError:
    """403: a call without any key."""
    message = (
        "Method doesn't allow unregistered callers (callers without established identity). "
        "Please use API Key or other form of API consumer identity to call this API."
    )
    return ApiError(403, _body(403, message, "forbidden", "global", status="PERMISSION_DENIED"))


def api_key_invalid() -> ApiError:
    """400: a key that does not exist, as told today (details with API_KEY_INVALID)."""
    message = "API key not valid. Please pass a valid API key."
    localized = {
        "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
        "locale": "en-US",
        "message": message,
    }
    details = [_error_info("API_KEY_INVALID"), localized]
    return ApiError(400, _body(400, message, "badRequest", "global", status="INVALID_ARGUMENT", details=details))


def key_invalid() -> ApiError:
    """400: a key that does not exist, as told by older servers (reason keyInvalid)."""
    return ApiError(400, _body(400, "Bad Request", "keyInvalid", "usageLimits"))


def key_blocked() -> ApiError:
    """403: the key is restricted to other IP addresses."""
    message = "The provided API key has an IP address restriction. The originating IP address violates it."
    details = [_error_info("API_KEY_IP_ADDRESS_BLOCKED", consumer=_CONSUMER)]
    return ApiError(403, _body(403, message, "forbidden", "global", status="PERMISSION_DENIED", details=details))


def access_not_configured() -> ApiError:
    """403: the API is switched off in the project (details with SERVICE_DISABLED)."""
    message = (
        "YouTube Data API v3 has not been used in project 000000000000 before or it is disabled. Enable it, "
        "then retry. If you enabled this API recently, wait a few minutes."
    )
    details = [_error_info("SERVICE_DISABLED", consumer="projects/000000000000")]
    body = _body(403, message, "accessNotConfigured", "usageLimits", status="PERMISSION_DENIED", details=details)
    return ApiError(403, body)


def permission() -> ApiError:
    """403: 'the caller does not have permission', as recorded."""
    body = _body(403, "Permission denied.", "SERVICE_UNAVAILABLE", "youtube.CoreErrorDomain")
    body["error"]["message"] = "The caller does not have permission"
    body["error"]["status"] = "PERMISSION_DENIED"
    return ApiError(403, body)


def cannot_act() -> ApiError:
    """403 of search.list only: transient, though it looks like a matter of permissions."""
    message = "The request is not properly authorized: cannot act on behalf of the specified Google account."
    return ApiError(403, _body(403, message, "forbidden", "youtube.common", status="PERMISSION_DENIED"))


def bucket_empty(bucket: Bucket) -> ApiError:
    """403 quotaExceeded, or for search 429 rateLimitExceeded with a limit per day."""
    if bucket is not Bucket.SEARCH:
        return ApiError(403, _body(403, _QUOTA_MESSAGE, "quotaExceeded", "youtube.quota"))
    return rate_limited("defaultSearchListPerDayPerProject", "search_list", "Search Queries per day", "1/d")


def daily_limit() -> ApiError:
    """403 dailyLimitExceeded: the older name for an empty bucket."""
    return ApiError(403, _body(403, "Daily Limit Exceeded", "dailyLimitExceeded", "usageLimits"))


def rate_limited(
    limit: str = "defaultPerMinutePerProject",
    metric: str = "default",
    words: str = "Queries per minute",
    unit: str = "1/min",
    retry_after: float | None = None,
) -> ApiError:
    """429 rateLimitExceeded; without arguments the one that is not per day: slow down and retry."""
    name = words.partition(" per ")[0]
    message = (
        f"Quota exceeded for quota metric '{name}' and limit '{words}' of service '{SERVICE}' "
        f"for consumer '{_CONSUMER}'."
    )
    info = _error_info(
        "RATE_LIMIT_EXCEEDED",
        consumer="projects/000000000000",
        quota_limit=limit,
        quota_metric=f"{SERVICE}/{metric}",
        quota_unit=f"{unit}/{{project}}",
    )
    body = _body(429, message, "rateLimitExceeded", "global", status="RESOURCE_EXHAUSTED", details=[info])
    return ApiError(429, body, retry_after)


def user_rate_limited(status: int = 403, retry_after: float | None = None) -> ApiError:
    """403 (or 429) userRateLimitExceeded: slow down and retry."""
    body = _body(status, "User Rate Limit Exceeded", "userRateLimitExceeded", "usageLimits")
    return ApiError(status, body, retry_after)


def backend_error(status: int, retry_after: float | None = None) -> ApiError:
    """500 or 503 backendError."""
    message = "The service is currently unavailable." if status == 503 else "Internal error encountered."
    grpc = "UNAVAILABLE" if status == 503 else "INTERNAL"
    return ApiError(status, _body(status, message, "backendError", "global", status=grpc), retry_after)


def of_status(status: int, retry_after: float | None = None) -> ApiError:
    """An error of this status: backendError from 500 on, below it one whose reason nobody has documented."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return backend_error(status, retry_after)
    phrase = HTTPStatus(status).phrase
    reason = phrase[0].lower() + phrase[1:].replace(" ", "")
    grpc = phrase.upper().replace(" ", "_")
    return ApiError(status, _body(status, f"{phrase}.", reason, "global", status=grpc), retry_after)


def invalid_argument() -> ApiError:
    """400 badRequest: the call as a whole is refused, without a word about which id is to blame."""
    message = "Request contains an invalid argument."
    return ApiError(400, _body(400, message, "badRequest", "global", status="INVALID_ARGUMENT"))


def unknown_part(name: str) -> ApiError:
    """400: a part that the method does not have."""
    return ApiError(400, _body(400, f"'{name}'", "unknownPart", "youtube.part", location=("part", "parameter")))


def missing_parameter(name: str) -> ApiError:
    """400: a parameter that the method cannot do without."""
    body = _body(
        400,
        f"The request is missing a required parameter: {name}",
        "missingRequiredParameter",
        "youtube.parameter",
        location=(name, "parameter"),
    )
    return ApiError(400, body)


def no_filter(*expected: str) -> ApiError:
    """400: none of the filters of which one is needed."""
    body = _body(
        400,
        f"No filter selected. Expected one of: {', '.join(expected)}",
        "missingRequiredParameter",
        "youtube.parameter",
        location=("parameters.", "other"),
    )
    return ApiError(400, body)


def incompatible(*names: str) -> ApiError:
    """400: more than one filter."""
    body = _body(
        400,
        f"Incompatible parameters specified in the request: {', '.join(names)}",
        "incompatibleParameters",
        "youtube.parameter",
        location=("parameters.", "other"),
    )
    return ApiError(400, body)


def invalid_filters(name: str) -> ApiError:
    """400: a filter that cannot be served, such as more than 50 ids."""
    body = _body(
        400,
        "The request specifies an invalid filter parameter.",
        "invalidFilters",
        "youtube.parameter",
        location=(name, "parameter"),
    )
    return ApiError(400, body)


def invalid_value(name: str, value: str) -> ApiError:
    """400: a value out of range or of the wrong form."""
    body = _body(
        400,
        f"Invalid value '{value}' for parameter {name}.",
        "invalidParameter",
        "youtube.parameter",
        location=(name, "parameter"),
    )
    return ApiError(400, body)


def invalid_page_token() -> ApiError:
    """400: a page token that the API did not make."""
    body = _body(
        400,
        "The request specifies an invalid page token.",
        "invalidPageToken",
        "youtube.parameter",
        location=("pageToken", "parameter"),
    )
    return ApiError(400, body)


def playlist_not_found() -> ApiError:
    """404: no such playlist."""
    body = _body(
        404,
        "The playlist identified with the request's <code>playlistId</code> parameter cannot be found.",
        "playlistNotFound",
        "youtube.playlistItem",
        location=("playlistId", "parameter"),
    )
    return ApiError(404, body)


def chart_not_found() -> ApiError:
    """404: no chart for this category (only music, films and gaming have one since July 2025)."""
    body = _body(
        404,
        "The requested video chart is not supported or is not available.",
        "videoChartNotFound",
        "youtube.video",
        location=("chart", "parameter"),
    )
    return ApiError(404, body)


def not_found() -> ApiError:
    """404: no such method."""
    return ApiError(404, _body(404, "Not Found", "notFound", "global", status="NOT_FOUND"))
