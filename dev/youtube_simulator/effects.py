"""What a fault does to an answer: replaces it by an error, spoils its items, or spoils its bytes."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from . import errors
from .errors import ApiError
from .faults import Fault, FaultKind, FaultPlan, MalformedForm
from .identity import VIDEO_ID_LENGTH
from .journal import ServedReading

Json = dict[str, Any]
HTML_PAGE = (
    "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><title>Error {status} (Server Error)!!1</title>"
    "<p><b>{status}.</b> <ins>That’s an error.</ins><p>The server encountered a temporary error and could not "
    "complete your request.<p>Please try again in 30 seconds."
)
_ERRORS: dict[FaultKind, Callable[[Fault], ApiError]] = {
    FaultKind.HTTP_ERROR: lambda fault: errors.of_status(fault.status or 503, fault.retry_after),
    FaultKind.RATE_LIMITED: lambda fault: errors.rate_limited(retry_after=fault.retry_after),
    FaultKind.USER_RATE_LIMITED: lambda fault: errors.user_rate_limited(fault.status or 403, fault.retry_after),
    FaultKind.POISON: lambda _: errors.invalid_argument(),
    FaultKind.DAILY_LIMIT: lambda _: errors.daily_limit(),
    FaultKind.API_KEY_INVALID: lambda _: errors.api_key_invalid(),
    FaultKind.KEY_INVALID: lambda _: errors.key_invalid(),
    FaultKind.KEY_BLOCKED: lambda _: errors.key_blocked(),
    FaultKind.ACCESS_NOT_CONFIGURED: lambda _: errors.access_not_configured(),
    FaultKind.PERMISSION: lambda _: errors.permission(),
    FaultKind.CANNOT_ACT: lambda _: errors.cannot_act(),
}
FOREIGN_ID = "zzzzzzzzzz8"


def error_of(fault: Fault) -> ApiError | None:
    """Give the error that the fault answers with, None for a fault of another sort."""
    make = _ERRORS.get(fault.kind)
    return None if make is None else make(fault)


def spoil_items(payload: Json, fault: Fault, plan: FaultPlan) -> None:
    """Take items out of an answer or malform one, in place."""
    items: list[Any] = payload.get("items") or []
    if fault.kind is FaultKind.BATCH_MISSING:
        payload["items"] = []
    elif fault.kind is FaultKind.SHARE_MISSING:
        payload["items"] = [item for item in items if plan.chance() >= fault.share]
    elif fault.kind is FaultKind.MALFORMED_ITEM:
        _malform_one(items, fault)


def _malform_one(items: list[Any], fault: Fault) -> None:
    for place, item in enumerate(items):
        identity = _id_of(item)
        if identity and fault.video_id in (None, identity):
            items[place] = malformed(item, fault.form)
            return


def as_sent(payload: Json, readings: list[ServedReading]) -> list[ServedReading]:
    """Give the readings that an answer still holds; a count that a fault has spoiled is none."""
    sent = {_id_of(item): item.get("statistics", {}) for item in payload.get("items") or [] if item}
    return [
        reading._replace(
            views=_unspoiled(reading.views, sent[reading.video_id].get("viewCount")),
            likes=_unspoiled(reading.likes, sent[reading.video_id].get("likeCount")),
            comments=_unspoiled(reading.comments, sent[reading.video_id].get("commentCount")),
        )
        for reading in readings
        if reading.video_id in sent
    ]


def _unspoiled(count: int | None, sent: object) -> int | None:
    return count if str(count) == sent else None


def _id_of(item: Json | None) -> str:
    """Give the id of the video that an item is about, in any kind of listing; of a spoiled one, none."""
    if not isinstance(item, dict):
        return ""
    resource = item.get("snippet", {}).get("resourceId", {})
    identity = item.get("contentDetails", {}).get("videoId") or resource.get("videoId") or item.get("id")
    return str(identity.get("videoId") if isinstance(identity, dict) else identity)


def named_in(payload: Json) -> Iterator[tuple[str, str | None, str | None]]:
    """Give the ids of the videos that a listing names, and when it says that each was published, and added to it."""
    for item in payload.get("items") or []:
        video_id = _id_of(item)
        if len(video_id) == VIDEO_ID_LENGTH:
            added_at = item.get("snippet", {}).get("publishedAt")
            yield video_id, item.get("contentDetails", {}).get("videoPublishedAt") or added_at, added_at


def _renamed(item: Json, name: str | None) -> Json:
    """Give a copy of an item that is about another video, or about none, in any kind of listing."""
    named = {} if name is None else {"videoId": name}
    details, snippet = item.get("contentDetails", {}), item.get("snippet", {})
    copy = {**item}
    if "videoId" in details:
        copy["contentDetails"] = {**_without(details, "videoId"), **named}
    if "resourceId" in snippet:
        copy["snippet"] = {**snippet, "resourceId": {**_without(snippet["resourceId"], "videoId"), **named}}
    if isinstance(item.get("id"), dict):
        copy["id"] = {**_without(item["id"], "videoId"), **named}
    elif "resourceId" not in snippet and "videoId" not in details:
        copy = _without(copy, "id") | ({} if name is None else {"id": name})
    return copy


def _without(fields: Json, name: str) -> Json:
    return {key: value for key, value in fields.items() if key != name}


def malformed(item: Json, form: MalformedForm) -> Json | None:
    """Give a malformed copy of an item."""
    statistics = {**item.get("statistics", {})}
    if form is MalformedForm.NOT_AN_OBJECT:
        return None
    if form is MalformedForm.NO_ID:
        return _renamed(item, None)
    if form is MalformedForm.NO_STATISTICS:
        return _without(item, "statistics")
    if form is MalformedForm.FOREIGN_ID:
        return _renamed(item, FOREIGN_ID)
    if form is MalformedForm.BAD_PUBLISH_TIME:
        snippet = {**item.get("snippet", {})}
        snippet[("publishedAt", "publishTime")["publishTime" in snippet]] = "yesterday"
        return {**item, "snippet": snippet}
    statistics["viewCount"] = "abc" if form is MalformedForm.TEXT_COUNT else "-5"
    return {**item, "statistics": statistics}


def body_of(fault: Fault, payload: Json) -> tuple[int, str, bytes] | None:
    """Give (status, content type, body) of a fault that spoils the bytes, None for another sort."""
    if fault.kind is FaultKind.HTML_OK:
        return 200, "text/html; charset=UTF-8", HTML_PAGE.format(status=500).encode()
    if fault.kind is FaultKind.HTML_BAD_GATEWAY:
        return 502, "text/html; charset=UTF-8", HTML_PAGE.format(status=502).encode()
    if fault.kind is FaultKind.TRUNCATED_JSON:
        whole = json.dumps(payload, ensure_ascii=False).encode()
        return 200, "application/json; charset=UTF-8", whole[: max(1, len(whole) * 2 // 3)]
    if fault.kind is FaultKind.NOT_AN_OBJECT:
        return 200, "application/json; charset=UTF-8", b'["not", "an", "object"]'
    return None
