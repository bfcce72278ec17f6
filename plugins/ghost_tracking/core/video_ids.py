"""Video ids, playlist ids and channel ids, as people write them."""

import re
from urllib.parse import parse_qs, urlsplit

_ID = re.compile(r"[A-Za-z0-9_-]{1,20}")
_USUAL = re.compile(r"[A-Za-z0-9_-]{11}")
_CHANNEL = re.compile(r"UC[A-Za-z0-9_-]{22}")
_HOSTS = ("youtube.com", "youtube-nocookie.com")
_PATHS = {"shorts", "live", "embed", "v", "e"}

NO_VIDEO = "neither a video id nor the URL of a video: ids have 11 letters, digits, - or _"
"""What a text is in which there is no video."""


def is_video_id(text: object) -> bool:
    """Whether this could be a video id: 11 base64url characters today, up to 20 since YouTube promises nothing.

    For what YouTube answers and what is stored. What somebody brings in is held to more: see `is_usual_video_id`.
    """
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def is_usual_video_id(text: object) -> bool:
    """Whether this has the form of all ids of today, 11 base64url characters, as few other words have."""
    return isinstance(text, str) and _USUAL.fullmatch(text) is not None


def is_channel_id(text: str) -> bool:
    """Whether this is a channel id: UC and 22 base64url characters."""
    return _CHANNEL.fullmatch(text) is not None


def uploads_playlist(channel_id: str) -> str:
    """The playlist of a channel's uploads has the channel's id with UU in place of UC."""
    return "UU" + channel_id[2:]


def parse_video_reference(text: str) -> str:
    """The id in an id or a URL (watch, youtu.be, shorts, live, embed), or a ValueError that says why there is none."""
    text = text.strip()
    if is_video_id(text):
        return text
    video_id = _id_in_url(text)
    if not is_video_id(video_id):
        raise ValueError(f"{text[:80]!r} is {NO_VIDEO}")
    return str(video_id)


def parse_brought_video(text: str) -> str:
    """The same for a video that somebody brings in: most words could be the id of one that is stored, few of these."""
    video_id = parse_video_reference(text)
    if not is_usual_video_id(video_id):
        raise ValueError(f"{text.strip()[:80]!r} is {NO_VIDEO}")
    return video_id


def _id_in_url(text: str) -> str | None:
    url = urlsplit(text if "//" in text else f"https://{text}")
    host = (url.hostname or "").removeprefix("www.").removeprefix("m.").removeprefix("music.")
    path = [part for part in url.path.split("/") if part]
    if host == "youtu.be":
        return path[0] if path else None
    if host not in _HOSTS:
        return None
    if path[:1] == ["watch"]:
        return next(iter(parse_qs(url.query).get("v", [])), None)
    return path[1] if len(path) > 1 and path[0] in _PATHS else None
