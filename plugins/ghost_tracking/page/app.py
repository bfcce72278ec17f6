"""The page's routes. All of them, its scripts and styles too, ask for a login with the right to see plugins."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any, Final

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import APIRouter, Depends, FastAPI, Request, Response

from ghost_tracking.core.video_ids import is_video_id
from ghost_tracking.errors import BadInputError
from ghost_tracking.page.doors import Doors, opened, sentence_of
from ghost_tracking.page.lanes import LOOKS, RETRY_AFTER, SEARCHES, SPANS, BusyError, Lane
from ghost_tracking.page.viewer import Viewer, viewer

BAD_REQUEST: Final = 400
TOO_MANY: Final = 429
UNAVAILABLE: Final = 503
_LONGEST_QUERY: Final = 300
_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}
_FOLDERS: Final = {"", "vendor"}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.]*")
_ALWAYS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_ANSWERS: Final = _ALWAYS | {"Cache-Control": "no-store"}
_JSON: Final = "application/json"
_STATIC: Final = _ALWAYS | {"Cache-Control": "private, no-cache"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, which is the same for all whose path and query are the same and who may see the same."""

    by: Viewer
    path: str
    query: str


def asked(request: Request, by: Annotated[Viewer, Depends(viewer)]) -> Asked:
    return Asked(by, request.url.path, request.url.query)


Looking = Annotated[Asked, Depends(asked)]
router = APIRouter()


def make_app() -> FastAPI:
    """The page as an application to be mounted in Airflow's API server."""
    app = FastAPI(
        title="Ghost Tracking",
        dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.include_router(router)
    return app


@router.get("/")
def index(request: Request) -> Response:
    return _static(request, "index.html")


@router.get("/static/{path:path}")
def static(request: Request, path: str) -> Response:
    return _static(request, path)


@router.get("/data/overview")
async def overview(asked: Looking) -> Response:
    from ghost_tracking.page.overview import overview

    return await _answer(LOOKS, asked, lambda doors: overview(doors, asked.by.dag_ids, asked.by.sees_connections))


@router.get("/data/find")
async def find(asked: Looking, q: str = "") -> Response:
    from ghost_tracking.page import video

    return await _answer(SEARCHES, asked, lambda doors: video.find(doors, q[:_LONGEST_QUERY]))


@router.get("/data/newest")
async def newest(asked: Looking) -> Response:
    from ghost_tracking.page import video

    return await _answer(LOOKS, asked, video.newest)


@router.get("/data/video")
async def videos(asked: Looking, v: str = "") -> Response:
    from ghost_tracking.page import video

    return await _answer(LOOKS, asked, lambda doors: video.videos(doors, _listed(v)))


@router.get("/data/series.csv")
async def series(asked: Looking, v: str = "") -> Response:
    from ghost_tracking.page import video

    kind, name = "text/csv; charset=utf-8", f"{_stem(v)}.csv"
    return await _file(LOOKS, asked, lambda doors: video.series(doors, _listed(v)), kind, name)


@router.get("/data/history.parquet")
async def history(asked: Looking, v: str = "") -> Response:
    from ghost_tracking.page import video

    kind, name = "application/vnd.apache.parquet", f"{_stem(v)}.parquet"
    return await _file(LOOKS, asked, lambda doors: video.history(doors, _listed(v)), kind, name)


@router.get("/data/movers")
async def movers(asked: Looking, window: str = "day") -> Response:
    from ghost_tracking.page.movers import movers

    return await _answer(SPANS, asked, lambda doors: movers(doors, window))


@router.get("/data/coverage")
async def coverage(asked: Looking, days: str = "2") -> Response:
    from ghost_tracking.page.coverage import coverage

    return await _answer(SPANS, asked, lambda doors: coverage(doors, days))


@router.get("/{path:path}")
def nowhere() -> Response:
    return Response("There is no such page.", 404, _ALWAYS, "text/plain; charset=utf-8")


async def _answer(lane: Lane, asked: Asked, find: Callable[[Doors], dict[str, Any]]) -> Response:
    """What `find` finds, as JSON; where it cannot, a sentence that says what to mend."""
    return await _response(lane, asked, lambda doors: _text(find(doors)), _ANSWERS, _JSON)


async def _file(lane: Lane, asked: Asked, make: Callable[[Doors], str | bytes], kind: str, name: str) -> Response:
    """What `make` makes, as a file to be kept; else as `_answer`."""
    headers = _ANSWERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return await _response(lane, asked, make, headers, kind)


async def _response(
    lane: Lane, asked: Asked, make: Callable[[Doors], str | bytes], headers: Mapping[str, str], kind: str
) -> Response:
    def made() -> str | bytes:
        with opened() as doors:
            return make(doors)

    try:
        # those who share a content get a response each: Airflow packs it, and writes so into its headers
        return Response(await lane.ask(asked, made), 200, headers, kind)
    except BusyError as error:
        return _said(f"{error.message}.", TOO_MANY, {"Retry-After": str(RETRY_AFTER)})
    except BadInputError as error:
        return _said(error.message, BAD_REQUEST)
    except Exception as error:  # noqa: BLE001 - nothing may show more than a sentence
        return _said(sentence_of(error, sees_connections=asked.by.sees_connections), UNAVAILABLE)


def _said(sentence: str, status: int, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    return Response(_text({"error": sentence}), status, {**_ANSWERS, **headers}, _JSON)


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _listed(text: str) -> list[str]:
    """Ids between commas, as an address has them."""
    return [each for each in text.split(",") if each]


def _stem(text: str) -> str:
    """The beginning of a file's name."""
    return "ghost-" + "-".join(each for each in _listed(text) if is_video_id(each))[:80]


def _static(request: Request, path: str) -> Response:
    """A file of the package's `static/`, by a name that cannot lead anywhere else."""
    folder, _, name = path.rpartition("/")
    kind = _KINDS.get(PurePosixPath(name).suffix)
    file = files("ghost_tracking.page").joinpath("static", folder, name)
    if folder not in _FOLDERS or kind is None or not _NAME.fullmatch(name) or not file.is_file():
        return Response("There is no such file.", 404, _ALWAYS, "text/plain; charset=utf-8")
    content = file.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    headers = _STATIC | {"ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, 200, headers, kind)
