"""The root of a vault: what a storage needs to know of a folder or a bucket, whoever gives the credentials for it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

BUCKETS: Final = {"s3": "s3fs", "gs": "gcsfs"}
"""The object stores that a vault can be in, by the scheme of their URLs, and the package that opens them."""


class RootPath(Protocol):
    """A root, whether it exists yet or not; Airflow's `ObjectStoragePath` is one too."""

    @property
    def protocol(self) -> str:
        """The URL's scheme: `s3`, `gs`, `file`; empty for a path."""

    @property
    def path(self) -> str:
        """A folder's path."""

    @property
    def bucket(self) -> str:
        """A bucket's name."""

    @property
    def key(self) -> str:
        """The prefix in a bucket."""

    @property
    def conn_id(self) -> str | None:
        """Airflow's connection that has the credentials; None: the environment has them, or nobody needs any."""

    @property
    def fs(self) -> Any:
        """The fsspec file system of a bucket."""

    def __truediv__(self, key: str) -> Self:
        """What lies below."""


@dataclass(frozen=True)
class UrlPath:
    """A root without Airflow: an absolute path or a URL, with the options that fsspec's file system takes."""

    url: str
    storage_options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, key: str) -> "UrlPath":
        return UrlPath(f"{self.url.rstrip('/')}/{key}", self.storage_options)

    @property
    def protocol(self) -> str:
        """See `RootPath`."""
        return self.url.partition("://")[0] if "://" in self.url else ""

    @property
    def path(self) -> str:
        """See `RootPath`."""
        return self.url.partition("://")[2] if self.protocol else self.url

    @property
    def bucket(self) -> str:
        """See `RootPath`."""
        return urlsplit(self.url).netloc

    @property
    def key(self) -> str:
        """See `RootPath`."""
        return urlsplit(self.url).path.lstrip("/")

    @property
    def conn_id(self) -> None:
        """There are no connections without Airflow."""
        return

    @cached_property
    def fs(self) -> Any:
        """The file system of the URL's scheme, with the environment's credentials unless options say otherwise."""
        import fsspec

        return fsspec.filesystem(self.protocol, **self.storage_options)
