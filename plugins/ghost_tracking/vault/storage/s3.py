"""Buckets of Amazon's S3, and of stores that speak like it, through the file system that Airflow makes of s3fs.

Its calls are sent through s3fs, which has the credentials, the retries and the event loop; its caches of listings
and of metadata, which would not see what other workers write, are passed by.
"""

import errno
from collections.abc import Iterable, Iterator
from typing import Any, Final, NoReturn, Self

from botocore import exceptions as boto
from fsspec.asyn import sync
from more_itertools import chunked
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ghost_tracking.errors import ConfigurationError, FileChangedError
from ghost_tracking.vault.storage.base import Blob, Version
from ghost_tracking.vault.storage.bucket import ANY
from ghost_tracking.vault.storage.root import RootPath

_CHANGED: Final = {"PreconditionFailed", "ConditionalRequestConflict", "412"}
_REFUSED: Final = {
    "403", "AccessDenied", "AccountProblem", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId",
    "InvalidClientTokenId", "InvalidSecurity", "InvalidToken", "NotSignedUp", "RequestTimeTooSkewed",
    "SignatureDoesNotMatch", "TokenRefreshRequired",
}  # fmt: skip
_ELSEWHERE: Final = {
    "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "InvalidBucketName", "NoSuchBucket",
    "PermanentRedirect",
}  # fmt: skip
_NO_CREDENTIALS: Final = (
    boto.CredentialRetrievalError,
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.ProfileNotFound,
    boto.SSOError,
    boto.TokenRetrievalError,
)
_DELETED_AT_ONCE: Final = 1000


class _InterruptedError(OSError):
    """An answer whose end did not come."""


class _NothingThereError(OSError):
    """No byte of the object is in the range: it is empty."""


class S3Bucket:
    """See `Bucket`. A single write has at most 5 GB, as in S3."""

    def __init__(self, fs: Any, name: str, conn_id: str | None) -> None:
        self._fs = fs
        self._name = name
        self._account = f"connection '{conn_id}'" if conn_id else "the environment's AWS credentials"

    @classmethod
    def connect(cls, root: RootPath) -> Self:
        """The bucket that `root` names, with the credentials of the connection that it names."""
        try:
            return cls(root.fs, root.bucket, root.conn_id)
        except boto.BotoCoreError as error:
            raise ConfigurationError(f"Connection '{root.conn_id}' cannot be used for S3: {error}") from error

    @retry(
        retry=retry_if_exception_type(_InterruptedError),
        stop=stop_after_attempt(4),
        wait=wait_random_exponential(0.1, max=2),
        reraise=True,
    )
    def get(self, name: str, *, span: str | None = None, version: Version = ANY) -> Blob:
        chosen: dict[str, Any] = {} if span is None else {"Range": f"bytes={span}"}
        if version is not ANY:
            chosen["IfMatch"] = version
        try:
            answer = self._call("get_object", name, Key=name, **chosen)
        except _NothingThereError:
            return self.get(name, version=version)
        try:
            data = sync(self._fs.loop, _read_to_the_end, answer["Body"])
        except Exception as error:  # of aiohttp, urllib3, botocore or asyncio
            raise _InterruptedError(errno.EIO, f"{self._place(name)} could not be read to its end: {error}") from error
        return Blob(data, _whole_size(answer), answer["ETag"])

    def put(self, name: str, data: bytes, *, expecting: Version | None) -> None:
        condition: dict[str, Any] = {}
        if expecting is None:
            condition = {"IfNoneMatch": "*"}
        elif expecting is not ANY:
            condition = {"IfMatch": expecting}
        try:
            self._call("put_object", name, Key=name, Body=data, **condition)
        except FileNotFoundError:  # so S3 says that there is nothing of the version that we expect
            raise FileChangedError(f"{name} was deleted by somebody else", key=name) from None

    def version(self, name: str) -> Version | None:
        try:
            return str(self._call("head_object", name, Key=name)["ETag"])
        except FileNotFoundError:
            return None

    def listing(self, prefix: str, delimiter: str = "", after: str = "") -> Iterator[tuple[str, int]]:
        page: dict[str, Any] = {}
        while True:
            page = self._call(
                "list_objects_v2",
                prefix,
                Prefix=prefix,
                **({"Delimiter": delimiter} if delimiter else {}),
                **({"StartAfter": after} if after and not page else {}),
                **({"ContinuationToken": page["NextContinuationToken"]} if page else {}),
            )
            yield from ((folder["Prefix"], 0) for folder in page.get("CommonPrefixes", ()))
            yield from ((found["Key"], found["Size"]) for found in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return

    def copy(self, name: str, to: str) -> None:
        self._call("copy_object", name, Key=to, CopySource={"Bucket": self._name, "Key": name})

    def delete(self, names: Iterable[str]) -> None:
        for some in chunked(names, _DELETED_AT_ONCE):
            wanted = {"Objects": [{"Key": name} for name in some], "Quiet": True}
            for refused in self._call("delete_objects", some[0], Delete=wanted).get("Errors", ()):
                self._explain("delete_objects", refused["Key"], refused["Code"], OSError(refused.get("Message")))

    def delete_version(self, name: str, version: Version) -> None:
        self._call("delete_object", name, Key=name, IfMatch=version)

    def _call(self, method: str, name: str, **arguments: Any) -> Any:
        try:
            return self._fs.call_s3(method, Bucket=self._name, **arguments)
        except _NO_CREDENTIALS as error:
            raise ConfigurationError(f"{self._account} has no usable credentials for S3: {error}") from error
        except (boto.BotoCoreError, OSError) as error:
            response = getattr(error.__cause__, "response", {})
            self._explain(method, name, response.get("Error", {}).get("Code", ""), error)

    def _explain(self, method: str, name: str, code: str, error: Exception) -> NoReturn:
        """Say in our words what S3 answered, or that it did not."""
        if code in _CHANGED:
            raise FileChangedError(f"{name} was replaced by somebody else", key=name) from error
        if code in _ELSEWHERE or isinstance(error, boto.ParamValidationError):
            raise ConfigurationError(
                f"There is no bucket '{self._name}' where {self._account} looks for it ({method}: {code or error}): "
                "make it, or mend its name, the region or the endpoint"
            ) from error
        if code in _REFUSED:
            raise ConfigurationError(
                f"Bucket '{self._name}' refuses {self._account} ({method}: {code}): mend the credentials, or allow "
                "them to list the bucket and to get, put and delete its objects"
            ) from error
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(errno.ENOENT, "No such object", self._place(name)) from error
        if code == "InvalidRange":
            raise _NothingThereError from error
        number = getattr(error, "errno", None) or errno.EIO
        raise OSError(number, f"{self._place(name)}: {code or type(error).__name__}: {error}") from error

    def _place(self, name: str) -> str:
        return f"s3://{self._name}/{name}"


async def _read_to_the_end(body: Any) -> bytes:
    try:
        data: bytes = await body.read()
        return data
    finally:
        body.close()


def _whole_size(answer: dict[str, Any]) -> int:
    """The size of the whole object: `bytes 5-9/10` of a part of it."""
    return int(answer.get("ContentRange", f"/{answer['ContentLength']}").rpartition("/")[2])
