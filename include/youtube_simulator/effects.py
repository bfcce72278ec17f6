"""What a fault does to an answer: replaces it by an error, spoils its items, or spoils its bytes."""

import json
from collections.abc import Callable
from typing import Any

from . import errors
from .errors import ApiError
from .faults import Fault, FaultKind, FaultPlan, MalformedForm

Json = dict[str, Any]
HTML_PAGE = (
    "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><title>Error {status} (Server Error)!!1</title>"
    "<p><b>{status}.</b> <ins>That’s an error.</ins><p>The server encountered a temporary error and could not "
    "complete your request.<p>Please try again in 30 seconds."
)
_ERRORS: dict[FaultKind, Callable[[Fault], ApiError]] = {
    FaultKind.HTTP_ERROR: lambda fault: errors.backend_error(fault.status or 503, fault.retry_after),
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
_FOREIGN_ID = "zzzzzzzzzz8"


def error_of(fault: Fault) -> ApiError | None:
    """Give the error that the fault answers with, None for a fault of another sort."""
    make = _ERRORS.get(fault.kind)
    return None if make is None else make(fault)


def spoil_items(payload: Json, fault: Fault, plan: FaultPlan) -> set[str]:
    """Take items out of an answer or malform one, in place; give the ids of the items it spoiled."""
    items: list[Any] = payload.get("items") or []
    if fault.kind is FaultKind.BATCH_MISSING:
        payload["items"] = []
        return {_id_of(item) for item in items}
    if fault.kind is FaultKind.SHARE_MISSING:
        payload["items"] = [item for item in items if plan.chance() >= fault.share]
        left = {_id_of(item) for item in payload["items"]}
        return {_id_of(item) for item in items} - left
    if fault.kind is FaultKind.MALFORMED_ITEM:
        return _malform_one(items, fault)
    return set()


def _malform_one(items: list[Any], fault: Fault) -> set[str]:
    for place, item in enumerate(items):
        identity = _id_of(item)
        if fault.video_id in (None, identity):
            items[place] = malformed(item, fault.form)
            return {identity}
    return set()


def _id_of(item: Json) -> str:
    """Give the id of the video that an item is about, in any kind of listing."""
    identity = item.get("contentDetails", {}).get("videoId") or item.get("id")
    return str(identity.get("videoId") if isinstance(identity, dict) else identity)


def malformed(item: Json, form: MalformedForm) -> Json | None:
    """Give a malformed copy of an item."""
    statistics = {**item.get("statistics", {})}
    if form is MalformedForm.NOT_AN_OBJECT:
        return None
    if form is MalformedForm.NO_ID:
        return {name: value for name, value in item.items() if name != "id"}
    if form is MalformedForm.NO_STATISTICS:
        return {name: value for name, value in item.items() if name != "statistics"}
    if form is MalformedForm.FOREIGN_ID:
        return {**item, "id": _FOREIGN_ID}
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
