"""The page's routes. All of them, its scripts and styles too, ask for a login with the right to see plugins."""

import hashlib
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
from ghost_tracking.page import responses
from ghost_tracking.page.context import PageContext, page_context
from ghost_tracking.page.lanes import LOOKS, RETRY_AFTER, SEARCHES, SPANS, BusyError, Lane
from ghost_tracking.page.messages import user_message
from ghost_tracking.page.viewer import Viewer, viewer

OK: Final = 200
BAD_REQUEST: Final = 400
NOT_FOUND: Final = 404
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
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_ALWAYS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_ANSWERS: Final = _ALWAYS | {"Cache-Control": "no-store"}
_JSON: Final = "application/json"
_CSV: Final = "text/csv; charset=utf-8"
_PARQUET: Final = "application/vnd.apache.parquet"
_ERRORS: Final = {status: {"model": responses.Error} for status in (BAD_REQUEST, TOO_MANY, UNAVAILABLE)}
_STATIC: Final = _ALWAYS | {"Cache-Control": "private, no-cache"}


@dataclass(frozen=True, slots=True)
class Question:
    """What is the same for all whose path and query are the same and who may see the same."""

    viewer: Viewer
    path: str
    query: str


def question(request: Request, viewer: Annotated[Viewer, Depends(viewer)]) -> Question:
    return Question(viewer, request.url.path, request.url.query)


Asked = Annotated[Question, Depends(question)]
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


def _answers(model: type) -> dict[str, Any]:
    """What a data route declares that answers with JSON, made in a lane's thread and not validated once more."""
    return {"response_model": None, "responses": {OK: {"model": model}, **_ERRORS}}


def _sends(kind: str) -> dict[str, Any]:
    """What one declares that answers with a file."""
    return {"response_model": None, "responses": {OK: {"content": {kind: {}}}, **_ERRORS}}


@router.get("/data/overview", **_answers(responses.Overview))
async def overview(asked: Asked) -> Response:
    from ghost_tracking.page.overview import overview

    who = asked.viewer
    return await _answer(LOOKS, asked, lambda context: overview(context, who.dag_ids, who.sees_connections))


@router.get("/data/find", **_answers(responses.Found))
async def find(asked: Asked, q: str = "") -> Response:
    from ghost_tracking.page import video

    return await _answer(SEARCHES, asked, lambda context: video.find(context, q[:_LONGEST_QUERY]))


@router.get("/data/newest", **_answers(responses.Newest))
async def newest(asked: Asked) -> Response:
    from ghost_tracking.page import video

    return await _answer(LOOKS, asked, video.newest)


@router.get("/data/video", **_answers(responses.Videos))
async def videos(asked: Asked, v: str = "") -> Response:
    from ghost_tracking.page import video

    return await _answer(LOOKS, asked, lambda context: video.videos(context, _listed(v)))


@router.get("/data/series.csv", **_sends(_CSV))
async def series(asked: Asked, v: str = "") -> Response:
    from ghost_tracking.page import video

    return await _file(LOOKS, asked, lambda context: video.series(context, _listed(v)), _CSV, f"{_stem(v)}.csv")


@router.get("/data/history.parquet", **_sends(_PARQUET))
async def history(asked: Asked, v: str = "") -> Response:
    from ghost_tracking.page import video

    name = f"{_stem(v)}.parquet"
    return await _file(LOOKS, asked, lambda context: video.history(context, _listed(v)), _PARQUET, name)


@router.get("/data/movers", **_answers(responses.Movers))
async def movers(asked: Asked, window: str = "day") -> Response:
    from ghost_tracking.page.movers import movers

    return await _answer(SPANS, asked, lambda context: movers(context, window))


@router.get("/data/coverage", **_answers(responses.Coverage))
async def coverage(asked: Asked, days: str = "2") -> Response:
    from ghost_tracking.page.coverage import coverage

    return await _answer(LOOKS, asked, lambda context: coverage(context, days))


@router.get("/{path:path}", status_code=NOT_FOUND)
def not_found() -> Response:
    return Response("There is no such page.", NOT_FOUND, _ALWAYS, "text/plain; charset=utf-8")


async def _answer(lane: Lane, asked: Question, find: Callable[[PageContext], Any]) -> Response:
    """What `find` finds, as JSON; where it cannot, a sentence that says what to mend."""
    return await _response(lane, asked, lambda context: responses.to_json(find(context)), _ANSWERS, _JSON)


async def _file(
    lane: Lane, asked: Question, make: Callable[[PageContext], str | bytes], kind: str, name: str
) -> Response:
    """What `make` makes, as a file to be kept; else as `_answer`."""
    headers = _ANSWERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return await _response(lane, asked, make, headers, kind)


async def _response(
    lane: Lane, asked: Question, make: Callable[[PageContext], str | bytes], headers: Mapping[str, str], kind: str
) -> Response:
    def made() -> str | bytes:
        with page_context() as context:
            return make(context)

    try:
        # those who share a content get a response each: Airflow packs it, and writes so into its headers
        return Response(await lane.ask(asked, made), OK, headers, kind)
    except BusyError as error:
        return _error(f"{error.message}.", TOO_MANY, {"Retry-After": str(RETRY_AFTER)})
    except BadInputError as error:
        return _error(error.message, BAD_REQUEST)
    except Exception as error:  # noqa: BLE001 - nothing may show more than a sentence
        message = user_message(error, sees_connections=asked.viewer.sees_connections)
        return _error(message, UNAVAILABLE)


def _error(message: str, status: int, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    return Response(responses.to_json(responses.Error(message)), status, {**_ANSWERS, **headers}, _JSON)


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
        return Response("There is no such file.", NOT_FOUND, _ALWAYS, "text/plain; charset=utf-8")
    content = file.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    headers = _STATIC | {"ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, OK, headers, kind)
