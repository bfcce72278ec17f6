"""Video ids, playlist ids and channel ids, as people write them: bare, or in any of YouTube's URLs."""

import re
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,20}")
_USUAL: Final = re.compile(r"[A-Za-z0-9_-]{11}")
_CHANNEL: Final = re.compile(r"UC[A-Za-z0-9_-]{22}")
_PLAYLIST: Final = re.compile(r"[A-Za-z0-9_-]{2,64}")
_HANDLE: Final = re.compile(r"@[^\s@/?&#,;:<>\"'\\]{1,100}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.·-]{3,30}")

_SHORT_HOST: Final = "youtu.be"
_HOSTS: Final = ("youtube.com", "youtube-nocookie.com", "youtubekids.com", "youtube.googleapis.com", "ytimg.com")
"""And what stands before them: www, m, music, studio, a country."""
_PATHS: Final = {"watch", "shorts", "live", "embed", "v", "e", "vi", "vi_webp", "video"}
"""What stands before an id in a path."""
_NO_IDS: Final = {"videoseries", "live_stream"}
"""Words in the place of an id, of the length of one: a player of a playlist, and one of a channel."""
_WRAPPERS: Final = {"attribution_link": "u", "oembed": "url"}
"""Paths of URLs that hold another one, and in which parameter."""

_INVISIBLE: Final = dict.fromkeys(
    map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff")
)
_AROUND: Final = " \t\r\n\f\v\u00a0\u3000<>()[]{}\"'`,;.“”„‘’‚«»‹›"
_SCHEME: Final = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_AMPERSAND: Final = re.compile(r"&(?:amp;)+", re.IGNORECASE)

NO_VIDEO: Final = "neither a video id nor the URL of a video: ids have 11 letters, digits, - or _"
"""What a text is in which there is no video."""

_NO_CHANNEL: Final = "a channel is an id of 24 characters that begins with UC, or a handle that begins with @"


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
    """The id in an id or in any URL of a video, or a ValueError that says why there is none.

    Quotes, brackets, commas and invisible characters around it are passed over.
    """
    bare = _bare(text)
    if is_video_id(bare):
        return bare
    url = _youtube_url(bare)
    video_id = _id_in(url) if url else None
    if video_id is None or not is_video_id(video_id):
        raise ValueError(f"{text.strip()[:80]!r} is {no_video(text)}")
    return video_id


def parse_brought_video(text: str) -> str:
    """The same for a video that somebody brings in: most words could be the id of one that is stored, few of these."""
    video_id = parse_video_reference(text)
    if not is_usual_video_id(video_id):
        raise ValueError(f"{text.strip()[:80]!r} is {NO_VIDEO}")
    return video_id


def no_video(text: str) -> str:
    """Why there is no video in a text, and how to write the channel or playlist that it names instead."""
    bare = _bare(text)
    for kind, parse in (("playlist", _playlist_in), ("channel", _channel_in)):
        if (url := _youtube_url(bare)) and (name := parse(url)):
            return f'{NO_VIDEO}; it names a {kind}, which is a source of its own: {kind}: "{name}"'
    return NO_VIDEO


def parse_channel_reference(text: str) -> str:
    """The id (UC…) or the handle (@…) in an id, a handle or the URL of a channel; else a ValueError that says why."""
    bare = _bare(text)
    if is_channel_id(bare) or _HANDLE.fullmatch(bare):
        return bare
    if url := _youtube_url(bare):
        if name := _channel_in(url):
            return name
        if (path := _path(url)) and path[0] in ("c", "user"):
            raise ValueError(
                f"{text.strip()[:80]!r} is a name that YouTube's API cannot look up: open the page, and write the "
                f"handle that it shows, which begins with @"
            )
        if _id_in(url):
            raise ValueError(f"{text.strip()[:80]!r} is the URL of a video, which is written under 'videos'")
    if _NAME.fullmatch(bare) and not bare.startswith("UC"):
        raise ValueError(f'{_NO_CHANNEL}: write "@{bare}" if {bare} is a handle')
    raise ValueError(_NO_CHANNEL)


def parse_playlist_reference(text: str) -> str:
    """The id in the id or URL of a playlist, or of a video that is played in one; ValueError where there is none."""
    bare = _bare(text)
    if _PLAYLIST.fullmatch(bare):
        return bare
    url = _youtube_url(bare)
    if (playlist := _playlist_in(url) if url else None) is None:
        raise ValueError(f"{text.strip()[:80]!r} is not the id of a playlist, such as PLE7DDD91010BC51F8, nor its URL")
    return playlist


def _bare(text: str) -> str:
    """Without what stands around it where it was copied from."""
    return text.translate(_INVISIBLE).strip(_AROUND)


def _youtube_url(text: str) -> SplitResult | None:
    """A URL of YouTube, with or without its scheme, of whatever port and country."""
    if "/" not in text or not text.isprintable() or " " in text:
        return None  # urlsplit would join what a tab or the end of a line parts
    text = _AMPERSAND.sub("&", text)
    try:
        url = urlsplit(text if _SCHEME.match(text) else f"https://{text}")
        host = (url.hostname or "").rstrip(".")
    except ValueError:
        return None
    known = host.removeprefix("www.") == _SHORT_HOST or any(
        host == each or host.endswith(f".{each}") for each in _HOSTS
    )
    return url if known else None


def _path(url: SplitResult) -> list[str]:
    return [unquote(part) for part in url.path.split("/") if part]


def _parameter(url: SplitResult, name: str) -> str | None:
    """Its first word: `?v=ID?t=1` is found in the wild."""
    value = next(iter(parse_qs(url.query).get(name, [])), None)
    return re.split(r"[?&#/]", value)[0] if value else None


def _id_in(url: SplitResult) -> str | None:
    path = _path(url)
    first = path[0] if path else ""
    if first in _WRAPPERS:
        inner = next(iter(parse_qs(url.query).get(_WRAPPERS[first], [])), "")
        held = _youtube_url(f"https://www.youtube.com{inner}" if inner.startswith("/") else inner)
        return _id_in(held) if held and not {*_path(held)[:1]} & _WRAPPERS.keys() else None
    if first in ("", "watch") and (video_id := _parameter(url, "v")):
        return video_id
    if first in _PATHS:
        video_id = path[1].split("&")[0] if len(path) > 1 else ""
        return video_id if video_id not in {"", *_NO_IDS} else None
    return first.split("&")[0] or None if (url.hostname or "").endswith(_SHORT_HOST) else None


def _channel_in(url: SplitResult) -> str | None:
    path = _path(url)
    if path and _HANDLE.fullmatch(path[0]):
        return path[0]
    return path[1] if path[:1] == ["channel"] and len(path) > 1 and is_channel_id(path[1]) else None


def _playlist_in(url: SplitResult) -> str | None:
    playlist = _parameter(url, "list")
    return playlist if playlist and _PLAYLIST.fullmatch(playlist) else None
