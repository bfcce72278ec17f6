"""The page that Airflow's navigation shows: how tracking stands, a video's curves, movers, coverage.

`app.py` has the routes, `responses.py` what they answer, `context.py` what they are answered from; one module a page
finds its data, and `static/` is what the browser runs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

URL_PREFIX = "/ghost"


class Page:
    """The page as an application that is made when it is first asked for.

    Airflow loads plugins into every process; only the API server is ever asked, and so pays for what the page imports.
    """

    def __init__(self) -> None:
        self._app: FastAPI | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None:
            from ghost_tracking.page.app import make_app

            self._app = make_app()
        await self._app(scope, receive, send)
