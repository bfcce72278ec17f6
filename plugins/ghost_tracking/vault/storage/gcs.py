"""Buckets of Google Cloud Storage, through the file system that Airflow makes of gcsfs.

gcsfs itself can create a file conditionally but not replace one, so these are requests of the store's JSON API, sent
through gcsfs, which has the credentials, the retries and the event loop. Its caches are passed by.

https://cloud.google.com/storage/docs/json_api/v1, https://cloud.google.com/storage/docs/request-preconditions
"""

import base64
import errno
import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NoReturn, Self

from aiohttp import ClientError
from gcsfs.retry import HttpError
from google.auth.exceptions import GoogleAuthError, TransportError

from ghost_tracking.errors import ConfigurationError, FileChangedError
from ghost_tracking.vault.storage.base import Blob, Version
from ghost_tracking.vault.storage.bucket import ANY
from ghost_tracking.vault.storage.root import RootPath

_FAULTS: Final = (OSError, HttpError, ClientError, GoogleAuthError, ValueError)
"""What gcsfs lets through: its own errors for an answer (a ValueError for some), and those of the network."""

_OBJECT: Final = "b/{}/o/{}"
_OBJECTS: Final = "b/{}/o"
_REWRITE: Final = "b/{}/o/{}/rewriteTo/b/{}/o/{}"
_BOUNDARY: Final = "ghost-4f1b7c2d9e8a4d05a1c6"
"""No content has it by chance."""

_NOTHING_THERE: Final = 416
_UNAUTHORIZED: Final = 401
_DELETING: Final = 16
"""How many objects are deleted side by side: each is a request."""


class GoogleBucket:
    """See `Bucket`. Versions are generations, which no two contents of an object share."""

    def __init__(self, fs: Any, name: str, conn_id: str | None) -> None:
        self._fs = fs
        self._name = name
        self._account = f"connection '{conn_id}'" if conn_id else "the environment's Google credentials"

    @classmethod
    def connect(cls, root: RootPath) -> Self:
        """The bucket that `root` names, with the credentials of the connection that it names."""
        try:
            return cls(root.fs, root.bucket, root.conn_id)
        except GoogleAuthError as error:
            raise ConfigurationError(f"Connection '{root.conn_id}' cannot be used for Google: {error}") from error

    def get(self, name: str, *, span: str | None = None, version: Version = ANY) -> Blob:
        headers = {} if span is None else {"Range": f"bytes={span}"}
        chosen = {} if version is ANY else {"generation": version}
        try:
            answer, data = self._call("GET", _OBJECT, name, alt="media", headers=headers, **chosen)
        except _NothingThereError:
            return self.get(name, version=version)
        size = int(answer.get("Content-Range", f"/{len(data)}").rpartition("/")[2])
        return Blob(data, size, answer["X-Goog-Generation"])

    def put(self, name: str, data: bytes, *, expecting: Version | None) -> None:
        self._in_bucket(
            "POST",
            self._fs.base.replace("/storage/v1/", "/upload/storage/v1/") + _OBJECTS,
            uploadType="multipart",
            headers={"Content-Type": f"multipart/related; boundary={_BOUNDARY}"},
            data=_upload(name, data),
            **_condition(expecting),
        )

    def version(self, name: str) -> Version | None:
        try:
            return str(self._call("GET", _OBJECT, name, fields="generation", json_out=True)["generation"])
        except FileNotFoundError:
            return None

    def listing(self, prefix: str, delimiter: str = "", after: str = "") -> Iterator[tuple[str, int]]:
        page: dict[str, Any] = {"nextPageToken": None}
        while "nextPageToken" in page:
            page = self._in_bucket(
                "GET",
                _OBJECTS,
                prefix=prefix,
                delimiter=delimiter or None,
                startOffset=after or None,
                pageToken=page["nextPageToken"],
                fields="nextPageToken,prefixes,items(name,size)",
                json_out=True,
            )
            yield from ((folder, 0) for folder in page.get("prefixes", ()))
            yield from ((found["name"], int(found["size"])) for found in page.get("items", ()))

    def copy(self, name: str, to: str) -> None:
        answer: dict[str, Any] = {"done": False}
        while not answer["done"]:  # Google copies what is large, or goes elsewhere, in several calls
            answer = self._call(
                "POST", _REWRITE, name, self._name, to, rewriteToken=answer.get("rewriteToken"), json_out=True
            )

    def delete(self, names: Iterable[str]) -> None:
        with ThreadPoolExecutor(_DELETING) as pool:
            list(pool.map(self._delete, names))

    def delete_version(self, name: str, version: Version) -> None:
        self._call("DELETE", _OBJECT, name, **_condition(version))

    def _delete(self, name: str) -> None:
        try:
            self._call("DELETE", _OBJECT, name)
        except FileNotFoundError:
            return

    def _in_bucket(self, method: str, path: str, **arguments: Any) -> Any:
        """A call about the bucket: what it does not find is the bucket."""
        try:
            return self._call(method, path, **arguments)
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"There is no bucket '{self._name}' for {self._account}: make it, or mend its name"
            ) from error

    def _call(self, method: str, path: str, *names: str, **arguments: Any) -> Any:
        try:
            return self._fs.call(method, path, self._name, *names, **arguments)
        except _FAULTS as error:
            self._explain(names[0] if names else arguments.get("name", ""), error)

    def _explain(self, name: str, error: Exception) -> NoReturn:
        """Say in our words what Google answered, or that it did not."""
        place = f"gs://{self._name}/{name}"
        if isinstance(error, FileExistsError):  # gcsfs's word for a condition that does not hold
            raise FileChangedError(f"{name} was replaced by somebody else", key=name) from error
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(errno.ENOENT, "No such object", place) from error
        if _is_refusal(error):
            raise ConfigurationError(
                f"Bucket '{self._name}' refuses {self._account}: mend the credentials, or allow them to list the "
                f"bucket and to get, create, overwrite and delete its objects ({_first_line(error)})"
            ) from error
        if getattr(error, "code", None) == _NOTHING_THERE:
            raise _NothingThereError from error
        raise OSError(errno.EIO, f"{place}: {type(error).__name__}: {_first_line(error)}") from error


class _NothingThereError(OSError):
    """No byte of the object is in the range: it is empty."""


def _upload(name: str, data: bytes) -> bytes:
    """An object as the store takes it: its name and its checksum, which the store verifies, before its content."""
    checksum = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    about = json.dumps({"name": name, "md5Hash": checksum}).encode()
    start = b"--%s\r\nContent-Type: %s\r\n\r\n"
    boundary = _BOUNDARY.encode()
    return b"".join(
        [
            start % (boundary, b"application/json; charset=UTF-8"),
            about,
            b"\r\n",
            start % (boundary, b"application/octet-stream"),
            data,
            b"\r\n--%s--\r\n" % boundary,
        ]
    )


def _condition(expecting: Version | None) -> dict[str, Any]:
    if expecting is ANY:
        return {}
    return {"ifGenerationMatch": "0" if expecting is None else expecting}


def _is_refusal(error: Exception) -> bool:
    if isinstance(error, GoogleAuthError):
        return not isinstance(error, TransportError)
    return getattr(error, "code", None) == _UNAUTHORIZED or str(error).startswith("Forbidden")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
