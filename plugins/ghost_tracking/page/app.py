"""The page's routes. All of them, its scripts and styles too, ask for a login with the right to see plugins."""

import hashlib
import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any, Final

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import APIRouter, Depends, FastAPI, Request, Response

from ghost_tracking.core.video_ids import is_video_id
from ghost_tracking.errors import BadInputError
from ghost_tracking.page.doors import Doors, opened, sentence_of

BAD_REQUEST: Final = 400
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
_STATIC: Final = _ALWAYS | {"Cache-Control": "private, no-cache"}


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
def overview() -> Response:
    from ghost_tracking.page.overview import overview

    return _answer(overview)


@router.get("/data/find")
def find(q: str = "") -> Response:
    from ghost_tracking.page import video

    return _answer(lambda doors: video.find(doors, q[:_LONGEST_QUERY]))


@router.get("/data/newest")
def newest() -> Response:
    from ghost_tracking.page import video

    return _answer(video.newest)


@router.get("/data/video")
def videos(v: str = "") -> Response:
    from ghost_tracking.page import video

    return _answer(lambda doors: video.videos(doors, _listed(v)))


@router.get("/data/series.csv")
def series(v: str = "") -> Response:
    from ghost_tracking.page import video

    return _file(lambda doors: video.series(doors, _listed(v)), "text/csv; charset=utf-8", f"{_stem(v)}.csv")


@router.get("/data/history.parquet")
def history(v: str = "") -> Response:
    from ghost_tracking.page import video

    kind = "application/vnd.apache.parquet"
    return _file(lambda doors: video.history(doors, _listed(v)), kind, f"{_stem(v)}.parquet")


@router.get("/data/movers")
def movers(window: str = "day") -> Response:
    from ghost_tracking.page.movers import movers

    return _answer(lambda doors: movers(doors, window))


@router.get("/data/coverage")
def coverage(days: str = "2") -> Response:
    from ghost_tracking.page.coverage import coverage

    return _answer(lambda doors: coverage(doors, days))


@router.get("/{path:path}")
def nowhere() -> Response:
    return Response("There is no such page.", 404, _ALWAYS, "text/plain; charset=utf-8")


def _answer(ask: Callable[[Doors], dict[str, Any]]) -> Response:
    """What `ask` finds, as JSON; where it cannot, a sentence that says what to mend."""
    return _asked(lambda doors: _json(ask(doors)))


def _file(ask: Callable[[Doors], str | bytes], kind: str, name: str) -> Response:
    """What `ask` makes, as a file to be kept; else as `_answer`."""
    headers = _ANSWERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return _asked(lambda doors: Response(ask(doors), 200, headers, kind))


def _asked(respond: Callable[[Doors], Response]) -> Response:
    try:
        with opened() as doors:
            return respond(doors)
    except BadInputError as error:
        return _json({"error": error.message}, BAD_REQUEST)
    except Exception as error:  # noqa: BLE001 - nothing may show more than a sentence
        return _json({"error": sentence_of(error)}, UNAVAILABLE)


def _json(content: Any, status: int = 200) -> Response:
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Response(text, status, _ANSWERS, "application/json")


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
