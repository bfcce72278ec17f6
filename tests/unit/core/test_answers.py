"""What a refusal of YouTube means, from recorded and published error bodies."""

import json

import pytest

from connections import recorded
from ghost_tracking.core.answers import classify
from ghost_tracking.core.budgets import Bucket
from ghost_tracking.errors import (
    CallRejectedError,
    NotFoundError,
    PermanentError,
    ProjectRefusedError,
    QuotaExhaustedError,
    RateLimitedError,
    TransientError,
    YouTubeFaultError,
    YouTubeKeyError,
)


def body(code: int, *, reason: str | None = None, message: str = "", status: str = "", **detail: object) -> bytes:
    error: dict[str, object] = {"code": code, "message": message, "status": status}
    if reason:
        error["errors"] = [{"reason": reason, "domain": "global", "message": message}]
    if detail:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", **detail}]
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("file", "status", "kind"),
    [
        ("error.403.quotaExceeded.json", 403, QuotaExhaustedError),
        ("error.429.search_bucket_exhausted.json", 429, QuotaExhaustedError),
        ("error.keyInvalid.json", 400, YouTubeKeyError),
        ("error.permission.json", 403, TransientError),
    ],
)
def test_recorded_bodies(file: str, status: int, kind: type) -> None:
    error = classify(status, {}, recorded(f"api/{file}").read_bytes(), Bucket.SEARCH)
    assert isinstance(error, kind)


PER_MINUTE = {"metadata": {"quota_limit": "defaultPerMinutePerProject"}}


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (403, body(403, reason="dailyLimitExceeded"), QuotaExhaustedError),
        (429, body(429, reason="rateLimitExceeded", **PER_MINUTE), RateLimitedError),
        (429, body(429, reason="rateLimitExceeded"), RateLimitedError),
        (403, body(403, reason="rateLimitExceeded"), RateLimitedError),
        (403, body(403, reason="userRateLimitExceeded"), RateLimitedError),
        (429, b"<html>Sorry...</html>", RateLimitedError),
        (400, body(400, status="INVALID_ARGUMENT", reason="badRequest", detail=1) , CallRejectedError),
        (400, body(400, reason="API_KEY_INVALID"), YouTubeKeyError),
        (403, body(403, reason="accessNotConfigured"), YouTubeKeyError),
        (403, body(403, reason="forbidden", message="Method doesn't allow unregistered callers"), YouTubeKeyError),
        (401, b"", YouTubeKeyError),
        (403, body(403, message="It cannot act on behalf of the specified Google account."), YouTubeFaultError),
        (403, b"<html>a proxy</html>", YouTubeFaultError),
        (404, body(404, reason="playlistNotFound"), NotFoundError),
        (400, body(400, reason="invalidPageToken"), CallRejectedError),
        (400, b"<html>Bad Request</html>", CallRejectedError),
        (403, body(403, reason="playlistItemsNotAccessible"), NotFoundError),
        (403, body(403, reason="channelForbidden"), NotFoundError),
        (404, b"<html>Error 404 (Not Found)!!1</html>", NotFoundError),
        (413, b"", CallRejectedError),
        (403, body(403, reason="forbidden", message="Project has been deleted."), ProjectRefusedError),
        (403, body(403, status="PERMISSION_DENIED", metadata={}), ProjectRefusedError),
        (403, body(403, reason="insufficientPermissions"), ProjectRefusedError),
        (451, body(451, reason="legal"), ProjectRefusedError),
        (501, body(501, reason="notImplemented"), ProjectRefusedError),
        (409, body(409, reason="SERVICE_UNAVAILABLE"), YouTubeFaultError),
        (408, body(408, reason="timeout"), YouTubeFaultError),
        (429, body(429, reason="RATE_LIMIT_EXCEEDED", metadata={"quota_unit": "1/d/{project}"}), QuotaExhaustedError),
        (429, body(429, reason="RATE_LIMIT_EXCEEDED", metadata={"quota_unit": "1/min/{project}"}), RateLimitedError),
        (429, body(429, reason="rateLimitExceeded", message="limit 'Queries per day' of"), QuotaExhaustedError),
        (429, body(429, reason="rateLimitExceeded", message="limit 'Queries per minute' of"), RateLimitedError),
        (429, body(429, reason="rateLimitExceeded", message="'Queries per day'", **PER_MINUTE), RateLimitedError),
        (429, body(429, reason="rateLimitExceeded", metadata=["quota_limit"]), RateLimitedError),
        (500, b"[" * 100_000, YouTubeFaultError),
        (500, b'{"error": ' + b"9" * 5000 + b"}", YouTubeFaultError),
        (500, body(500, reason="backendError"), YouTubeFaultError),
        (503, b"<html></html>", YouTubeFaultError),
        (502, b"", YouTubeFaultError),
        (500, b'{"error": "text"}', YouTubeFaultError),
        (500, b"[]", YouTubeFaultError),
        (307, b"", YouTubeFaultError),
    ],
)  # fmt: skip
def test_published_reasons(status: int, content: bytes, kind: type) -> None:
    error = classify(status, {}, content, Bucket.GENERAL)
    assert type(error) is kind
    assert isinstance(error, PermanentError) != isinstance(error, TransientError)


@pytest.mark.parametrize("reason", ["API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "SERVICE_DISABLED", "keyExpired"])
def test_a_key_is_blamed_wherever_the_reason_stands(reason: str) -> None:
    in_details = body(400, reason="badRequest", metadata={}, domain="googleapis.com") + b""
    document = json.loads(in_details)
    document["error"]["details"][0]["reason"] = reason
    error = classify(400, {}, json.dumps(document).encode(), Bucket.GENERAL)
    assert isinstance(error, YouTubeKeyError)
    assert "youtube_default" in str(error)


def test_a_refusal_of_the_project_has_youtubes_own_words() -> None:
    error = classify(403, {}, body(403, reason="forbidden", message="Project has been deleted."), Bucket.GENERAL)
    assert "Project has been deleted." in error.message
    assert "youtube_default" in error.message


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("-1", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None)])
def test_retry_after(header: str, seconds: float | None) -> None:
    error = classify(429, {"retry-after": header}, body(429, reason="rateLimitExceeded"), Bucket.GENERAL)
    assert error.retry_after == seconds


def test_the_bucket_is_named() -> None:
    error = classify(403, {}, body(403, reason="quotaExceeded"), Bucket.STATISTICS)
    assert error.bucket == "statistics"
    assert "midnight Pacific" in str(error)


def test_a_rejection_keeps_every_reason() -> None:
    content = body(400, reason="missingRequiredParameter", status="INVALID_ARGUMENT")
    error = classify(400, {}, content, Bucket.GENERAL)
    assert error.reasons == {"missingrequiredparameter", "invalid_argument"}
