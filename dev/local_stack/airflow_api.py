"""A client of Airflow's REST API that logs in by itself."""

from __future__ import annotations

from typing import Any

import httpx

from local_stack.errors import ApiError

UNAUTHORIZED = 401


class AirflowApi:
    """Requests to one Airflow, as one of its users."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._credentials = {"username": user, "password": password}
        self._client = httpx.Client(base_url=url, timeout=30.0, trust_env=False)
        self._token: str | None = None

    def __call__(self, method: str, path: str, json: Any = None, **params: Any) -> Any:
        """The decoded answer of a request, or None without a body.

        A path without a leading slash is meant below `/api/v2/`. Raises ApiError for any status from 400 on and
        httpx.TransportError when nobody answers.
        """
        url = path if path.startswith("/") else f"/api/v2/{path}"
        response = self._send(method, url, json, params)
        if response.status_code == UNAUTHORIZED:
            self._token = None
            response = self._send(method, url, json, params)
        if response.is_error:
            raise ApiError(method, url, response.status_code, response.text)
        return response.json() if response.content else None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def answers(self) -> bool:
        """Whether the server accepts requests."""
        try:
            return self._client.get("/api/v2/version", timeout=5.0).is_success
        except httpx.TransportError:
            return False

    def _send(self, method: str, url: str, json: Any, params: dict[str, Any]) -> httpx.Response:
        if self._token is None:
            self._token = self._log_in()
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._client.request(method, url, json=json, params=params, headers=headers)

    def _log_in(self) -> str:
        response = self._client.post("/auth/token", json=self._credentials)
        if response.is_error:
            raise ApiError("POST", "/auth/token", response.status_code, response.text)
        token: str = response.json()["access_token"]
        return token
