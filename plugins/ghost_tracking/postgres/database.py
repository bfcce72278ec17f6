"""The one way to the ghost database: connections that a pooler may share, transactions, named queries."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg.abc import AdaptContext, Loader
from psycopg.pq import Format
from psycopg.rows import dict_row

from ghost_tracking.errors import BadInputError, ConfigurationError, DatabaseUnavailableError
from ghost_tracking.postgres import sql

Row = dict[str, Any]

_TIMESTAMPTZ = psycopg.adapters.types["timestamptz"].oid
_MIGRATIONS = Path(sql.__file__).parent / "migrations"


class Database:
    """Named queries on the database that `connect` opens connections to; errors call it connection `name`.

    For one thread at a time. Connects at first use and keeps the connection until `close`. Nothing is kept on it
    beyond a transaction: no session settings, no prepared statements, so that PgBouncer in transaction mode works.
    A statement that takes longer than `statement_limit` fails with DatabaseUnavailableError; None: the server's limit.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], psycopg.Connection[Any]],
        statement_limit: timedelta | None = None,
    ) -> None:
        self.name = name
        self._open = connect
        self._statement_limit = statement_limit
        self._opened: psycopg.Connection[Row] | None = None
        self._depth = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction; one begun inside another joins it, and the outermost commits or rolls back."""
        if self._depth:
            yield
            return
        with self._naming_the_connection(), ExitStack() as ends:
            self._begin(ends)
            self._depth += 1
            try:
                if self._statement_limit is not None:
                    self.run("statement_limit", milliseconds=self._statement_limit // timedelta(milliseconds=1))
                yield
            finally:
                self._depth -= 1

    def run(self, query: str, **parameters: Any) -> list[Row]:
        """Run a named query and return its rows, in the transaction under way or one of its own."""
        with self.transaction(), self._session.cursor() as cursor:
            cursor.execute(sql.queries()[query].encode(), _bound(parameters))
            return cursor.fetchall() if cursor.description else []

    def change(self, query: str, **parameters: Any) -> int:
        """Run a named query that changes rows, and return how many."""
        with self.transaction(), self._session.cursor() as cursor:
            return cursor.execute(sql.queries()[query].encode(), _bound(parameters)).rowcount

    def value(self, query: str, **parameters: Any) -> Any:
        """The one value that a named query returns."""
        (row,) = self.run(query, **parameters)
        return next(iter(row.values()))

    def limit(self, time: timedelta) -> None:
        """Bound how long the transaction under way may idle, and each of its statements take."""
        self.run("claim_limits", milliseconds=time // timedelta(milliseconds=1))

    def has_schema(self) -> bool:
        """Whether Ghost Tracking's tables are there, in whatever version."""
        return bool(self.value("has_schema_version"))

    def close(self) -> None:
        """Give the connection back; the next query opens another."""
        session, self._opened = self._opened, None
        if session is not None:
            session.close()

    def migrate(self) -> str:
        """Bring the schema up to date, and return its version.

        Idempotent and safe to run from several tasks at once: one changes it, under a lock, in one transaction. A
        schema newer than this code is a ConfigurationError.
        """
        latest = max(path.stem.split("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
        with self.transaction():
            present = self.run("schema_version") if self.has_schema() else []
        version = present[0]["version_num"] if present else ""
        if version < latest:
            self._upgrade()
        elif version > latest:
            raise ConfigurationError(
                f"the schema behind connection '{self.name}' has version {version}, this Ghost Tracking knows "
                f"{latest}: install the newer Ghost Tracking on every worker"
            )
        return latest

    def _upgrade(self) -> None:
        import sqlalchemy
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=self._connect, poolclass=sqlalchemy.NullPool)
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql("SELECT set_config('statement_timeout', '0', true)")
                connection.exec_driver_sql(sql.queries()["lock_schema"])
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except sqlalchemy.exc.DBAPIError as error:
            raise ConfigurationError(
                f"the schema behind connection '{self.name}' could not be set up: {_sentence(error.orig)}"
            ) from error

    @property
    def _session(self) -> psycopg.Connection[Row]:
        if self._opened is None:
            self._opened = self._connect()
            self._opened.autocommit = True
            self._opened.row_factory = dict_row
        return self._opened

    def _begin(self, ends: ExitStack) -> None:
        """Begin a transaction; a connection that went away while nothing was under way is replaced."""
        try:
            ends.enter_context(self._session.transaction())
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self.close()
            ends.enter_context(self._session.transaction())

    @contextmanager
    def _naming_the_connection(self) -> Iterator[None]:
        """Turn what the driver says of a lost connection into an error that says which one."""
        try:
            yield
        except psycopg.errors.CheckViolation as error:
            broken = error.diag.constraint_name or ""
            raise BadInputError(_CONSTRAINTS.get(broken, _sentence(error)), constraint=broken) from error
        except psycopg.errors.QueryCanceled as error:
            raise DatabaseUnavailableError(
                f"the database of connection '{self.name}' gave no answer in time: {_sentence(error)}"
            ) from error
        except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError) as error:
            self.close()
            raise DatabaseUnavailableError(
                f"the database of connection '{self.name}' failed: {type(error).__name__}: {error}"
            ) from error

    def _connect(self) -> psycopg.Connection[Any]:
        session = self._open()
        session.prepare_threshold = None
        session.adapters.register_loader("timestamptz", cast("type[Loader]", _InUtc))
        return session


_CONSTRAINTS = {
    "watchlist_possible_id": "the id of a video has 1 to 20 letters, digits, - and _; nothing was written",
    "watchlist_possible_times": "times lie between the years 1 and 9999, and slots before the year 9000; nothing was "
    "written",
}


def _sentence(error: BaseException | None) -> str:
    """What the database says, on one line and without the statement; where a view is in the way, what to do."""
    if not isinstance(error, psycopg.Error) or not error.diag.message_primary:
        return " ".join(str(error).split())
    said = ". ".join(filter(None, [error.diag.message_primary, error.diag.message_detail]))
    if isinstance(error, psycopg.errors.FeatureNotSupported):
        said += ". Drop what depends on the column, and create it again afterwards"
    return " ".join(said.split())


class _InUtc:
    """Reads times in UTC, whatever the zone of the database, of the role or of a pooler's session is.

    psycopg's own loader, but one that knows of no connection whose zone it would take.
    """

    format = Format.TEXT

    def __new__(cls, oid: int, _: AdaptContext | None = None) -> Loader:  # type: ignore[misc]
        loader = psycopg.adapters.get_loader(_TIMESTAMPTZ, cls.format)
        return cast("type[Loader]", loader)(oid, None)


def _bound(parameters: Mapping[str, Any]) -> Row:
    """Lists as PostgreSQL writes arrays; every query says of which type. psycopg takes five times as long for them."""
    return {name: _array(value) if isinstance(value, list) else value for name, value in parameters.items()}


def _array(values: Sequence[Any]) -> str:
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
