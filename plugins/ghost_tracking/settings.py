"""Everything that can be set, named once: connections, assets, Variables, and the settings with their defaults.

Settings live in the Airflow Variable `ghost_settings`, a JSON object that is read when a task runs; what it does
not name keeps its default. As with any Variable, the environment variable AIRFLOW_VAR_GHOST_SETTINGS works too.
Environment variables are read by the processes themselves: see `tracker_pool`, `deadline`, `sources_file`,
`notifiers_allowed` and `list_prefixes`.
"""

import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ghost_tracking.core.policies import Policy
from ghost_tracking.core.validation import validation_errors
from ghost_tracking.core.worth import Shares
from ghost_tracking.errors import BadSettingsError, BadSourcesError

POSTGRES_CONNECTION = "ghost_postgres"
VAULT_CONNECTION = "ghost_vault"
YOUTUBE_CONNECTION = "youtube_default"

SETTINGS_VARIABLE = "ghost_settings"
SOURCES_VARIABLE = "ghost_sources"
NOTIFIERS_VARIABLE = "ghost_notifiers"

POOL_ENVIRONMENT = "GHOST_TRACKER_POOL"
SOURCES_ENVIRONMENT = "GHOST_SOURCES_FILE"
TRACKER_DEADLINE_ENVIRONMENT = "GHOST_TRACKER_DEADLINE_MINUTES"
HUNTER_DEADLINE_ENVIRONMENT = "GHOST_HUNTER_DEADLINE_MINUTES"
JANITOR_DEADLINE_ENVIRONMENT = "GHOST_JANITOR_DEADLINE_MINUTES"
NOTIFIERS_ENVIRONMENT = "GHOST_NOTIFIERS_ALLOWED"
LIST_PREFIXES_ENVIRONMENT = "GHOST_LIST_PREFIXES"

VIDEOS_ASSET = "ghost_videos"
METRICS_ASSET = "ghost_metrics"

SHORTEST_RETENTION_OF_MONTHS = 62
"""Days: two months, so that a month is whole for at least a month."""

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """The settings of a deployment. Each field's description is its documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metadata_retention_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        7, description="days that a video's metadata stays in `videos` after its discovery"
    )
    quota_statistics: NotNegative = Field(10_000, description="calls per day of the bucket of `videos.batchGetStats`")
    quota_search: NotNegative = Field(100, description="calls per day of the bucket of `search.list`")
    quota_general: NotNegative = Field(
        10_000,
        description="calls per day of the bucket of all other reads (`videos`, `playlistItems`, `channels`)",
    )
    quota_hunter_holdback: NotNegative = Field(
        1_000,
        description="calls per day of the general bucket left to the hunter by the tracker; fewer as the day goes by",
    )
    quota_manual_holdback: NotNegative = Field(
        100,
        description="calls per day of the statistics bucket that scheduled runs of the tracker leave to manual runs; "
        "fewer as the day goes by",
    )
    tracker_parallel_tasks: Annotated[int, Field(ge=1, le=64)] = Field(
        4,
        description="`track` tasks that run at a time; a run has about three times as many batches",
    )
    tracker_videos_a_run: Annotated[int, Field(ge=1, le=5_000_000)] = Field(
        150_000, description="most videos of one tracker run; the next run takes the rest"
    )
    tracker_batch_seconds: Annotated[int, Field(ge=5, le=540)] = Field(
        120, description="seconds that the API calls of one batch may take; its rows stay locked meanwhile"
    )
    policy: Policy = Field(
        Policy.TIERS,
        description="how readings are shared out: `tiers` (every slot while the quota lasts), `thrifty` (only slots "
        "that are worth it) or `adaptive` (each video at its own interval, within the quota)",
    )
    share_views_missed: Share = Field(
        0.17, description="share of all readings that goes where most views would be missed; the three make 1"
    )
    share_percent_wrong: Share = Field(
        0.25, description="share of all readings that goes where a curve would be most wrong in per cent"
    )
    share_in_turn: Share = Field(0.58, description="share of all readings that goes to every video in turn")
    thrifty_saves: Annotated[float, Field(ge=0, le=0.95)] = Field(
        0.5, description="share of the tiers' readings that the policy `thrifty` saves"
    )
    audit_share: Annotated[float, Field(ge=0, le=0.2)] = Field(
        0.01,
        description="share of the readings that goes to videos at random beside their slots, so that the error of what "
        "is known of the others can be measured; a thousand a day at most",
    )
    longest_wait_days: Annotated[int, Field(ge=14, le=3650)] = Field(
        365, description="days after which a video is read again, however dull it is, where there is any quota for it"
    )
    promotion_days: Annotated[int, Field(ge=1, le=365)] | None = Field(
        7,
        description="days that a settled video which comes alive is read daily, and longer while it lasts; null: never",
    )
    youtube_threads: Annotated[int, Field(ge=1, le=16)] = Field(
        4, description="API calls that one task sends at the same time"
    )
    youtube_timeout_seconds: Annotated[int, Field(ge=1, le=120)] = Field(
        20, description="seconds without data after which an API call is aborted"
    )
    hunter_parallel_tasks: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="most `hunt` tasks that share the sources of a run"
    )
    hunter_overlap_hours: Annotated[int, Field(ge=0, le=8760)] = Field(
        48,
        description="hours before the watermark that channels are read again, since videos are listed late or made "
        "public after their publish time",
    )
    hunter_catch_up_days: Positive = Field(
        30,
        description="most days that searches go back after downtime, since they find little that is older; "
        "channels and playlists have no such limit",
    )
    hunter_search_overlap_minutes: NotNegative = Field(
        60, description="minutes before the watermark that searches look again, since search finds new videos late"
    )
    import_videos_a_run: Positive = Field(
        25_000, description="most videos of the import queue that one hunter run imports"
    )
    import_sql_megabytes: Positive = Field(
        480,
        description="megabytes of the database above which no list is imported until the janitor has freed space",
    )
    roster_keep_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        30,
        description="days that the roster's replaced files are kept; set it to at least the age of your oldest "
        "backup of the database, which may name them",
    )
    vault_lock_seconds: NotNegative = Field(
        30, description="seconds that a publisher waits for a partition that another process is writing"
    )

    vault_keep_hours: bool = Field(
        True, description="whether hourly files stay in `metrics/` after their points are compacted into `history/`"
    )
    vault_retention_days: Annotated[int, Field(ge=1, le=36500)] | None = Field(
        None,
        description="days that statistics, metadata and discoveries stay in the vault; null: forever. The janitor's "
        "first run after a change only reports what it would delete",
    )

    alert_backlog_videos: Positive | None = Field(
        100_000, description="number of videos overdue by more than an hour above which an alert is sent; null: never"
    )
    alert_quota_hours: Annotated[float, Field(ge=0, le=25)] | None = Field(
        6.0,
        description="hours before the end of the quota's day: an alert is sent if the quota would run out earlier; "
        "null: never",
    )
    alert_no_data_minutes: Positive | None = Field(
        60,
        description="minutes without a published point, while videos are due, after which an alert is sent; "
        "null: never",
    )
    alert_watermark_hours: Annotated[float, Field(ge=1, le=8760)] | None = Field(
        24.0,
        description="hours without a complete hunt of a source after which an alert is sent; null: never",
    )
    alert_failed_runs: bool = Field(True, description="whether an alert is sent when a run of one of the DAGs fails")
    alert_promotions: bool = Field(True, description="whether an alert is sent when a settled video is promoted")
    alert_cooldown_hours: Annotated[float, Field(ge=0, le=8760)] = Field(
        12.0, description="hours until an alert is repeated while its cause lasts"
    )

    @model_validator(mode="after")
    def _shares_make_one(self) -> Self:
        Shares(self.share_views_missed, self.share_percent_wrong, self.share_in_turn)  # ValueError says why not
        return self

    @property
    def shares(self) -> Shares:
        """How readings are shared out."""
        return Shares(self.share_views_missed, self.share_percent_wrong, self.share_in_turn)

    @property
    def compacts_months(self) -> bool:
        """Whether days become months: a retention so short would tear them apart again at once."""
        return self.vault_retention_days is None or self.vault_retention_days >= SHORTEST_RETENTION_OF_MONTHS

    @property
    def quota(self) -> dict[str, int]:
        """Calls a day by bucket."""
        return {
            "statistics": self.quota_statistics,
            "search": self.quota_search,
            "general": self.quota_general,
        }

    @property
    def quota_holdbacks(self) -> dict[str, int]:
        """Calls a day by bucket that scheduled runs of the tracker leave to others."""
        return {"statistics": self.quota_manual_holdback, "general": self.quota_hunter_holdback}


def parse_settings(text: str | None) -> Settings:
    """Settings from the text of the Variable; BadSettingsError names each bad one and why it is."""
    try:
        written = json.loads(text) if text and text.strip() else {}
        if not isinstance(written, dict):
            raise ValueError(f"it has {str(written)[:60]}")
        return Settings.model_validate(written)
    except ValidationError as error:
        problems = validation_errors(error, "no such setting", Settings.model_fields)
        raise BadSettingsError(f"Airflow Variable '{SETTINGS_VARIABLE}': {problems}") from None
    except ValueError as error:
        raise BadSettingsError(f"Airflow Variable '{SETTINGS_VARIABLE}' is no JSON object: {error}") from None


def read_settings() -> Settings:
    """The settings of this deployment, read now. Needs a running task or another Airflow context."""
    from airflow.sdk import Variable

    return parse_settings(Variable.get(SETTINGS_VARIABLE, default=None))


def tracker_pool() -> str:
    """The pool of the track tasks, from GHOST_TRACKER_POOL when a DAG file is parsed; `default_pool` without it.

    A pool that does not exist would leave tasks scheduled for ever, so none is assumed.
    """
    return os.environ.get(POOL_ENVIRONMENT) or "default_pool"


def deadline(environment: str, default: timedelta) -> timedelta | None:
    """The time that a run may take from when it is queued until an alert is sent, when a DAG file is parsed.

    From this environment variable, in minutes; 0: no alert, None. Raises BadSettingsError where it is no number.
    """
    text = os.environ.get(environment)
    try:
        minutes = float(text) if text else default / timedelta(minutes=1)
        return timedelta(minutes=minutes) if minutes > 0 else None
    except (ValueError, OverflowError):
        raise BadSettingsError(f"environment variable {environment} is {text!r}, no number of minutes") from None


def notifiers_allowed() -> list[str]:
    """The notifiers that alerts may go out by, from GHOST_NOTIFIERS_ALLOWED: classes by their full names, separated by
    commas; a name that ends with a dot stands for all below it. Without it, those of Airflow's providers.
    """
    return _listed(NOTIFIERS_ENVIRONMENT, "airflow.providers.")


def list_prefixes() -> list[str]:
    """Where forms may read lists from, from GHOST_LIST_PREFIXES: folders or URLs, separated by commas; one without a
    slash before it lies in the vault. Without it, the vault's folder `lists` alone.
    """
    return _listed(LIST_PREFIXES_ENVIRONMENT, "lists")


def _listed(environment: str, default: str) -> list[str]:
    """What an environment variable lists; nothing where it is set and empty."""
    return [each for part in os.environ.get(environment, default).split(",") if (each := part.strip())]


def sources_file() -> Path | None:
    """The file that says what to hunt: GHOST_SOURCES_FILE, or the first `include/sources.yaml` that is there.

    Looked for beside `plugins/` (a checkout, an Astro project), then in AIRFLOW_HOME.
    """
    named = os.environ.get(SOURCES_ENVIRONMENT)
    if named:
        return Path(named)
    roots = [Path(__file__).parents[2], Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()]
    return next((file for root in roots if (file := root / "include" / "sources.yaml").is_file()), None)


def read_sources(form: Mapping[str, Any]) -> tuple[Any, str]:
    """What to hunt, unparsed, and the name of where it stands.

    From the run's form (`sources`, `videos`) where it says something, else from the Variable `ghost_sources` (YAML or
    JSON), else from `sources_file`. Raises BadSourcesError where there is none, or where it is no YAML.
    """
    from airflow.sdk import Variable

    # the form's box makes an entry of each line, also of an empty one
    videos = [line for line in form.get("videos") or [] if line.strip()]
    if form.get("sources") or videos:
        return [*(form.get("sources") or []), *([{"videos": videos}] if videos else [])], "the run's form"
    text, origin = Variable.get(SOURCES_VARIABLE, default=None), f"Airflow Variable '{SOURCES_VARIABLE}'"
    if not text:
        file = sources_file()
        if file is None:
            raise BadSourcesError(
                f"nothing to hunt: set the Airflow Variable '{SOURCES_VARIABLE}', or the environment variable "
                f"{SOURCES_ENVIRONMENT} to a file such as include/sources.yaml"
            )
        origin = str(file)
        try:
            text = file.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise BadSourcesError(f"{origin} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise BadSourcesError(f"{origin} is not written in UTF-8, from its byte {error.start + 1:,} on") from None
    return parse_yaml(text, origin), origin


def parse_yaml(text: str, origin: str) -> Any:
    """A YAML document, in which words that YAML has a meaning for are the words that were written.

    Unquoted, `NO` would be false, 2024 a number and 01234567012 another one; the sources know what they expect.
    """
    import yaml

    class Words(yaml.SafeLoader):
        """Only nothing and `<<` have a meaning."""

    kept = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
    Words.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in kept]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(text, Words)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise BadSourcesError(f"{origin} is not YAML: {_slip(text, error)}") from None
    except RecursionError:
        raise BadSourcesError(f"{origin} is not YAML: it is nested too deeply") from None
    except (ValueError, TypeError, LookupError) as error:  # of tags such as !!int
        raise BadSourcesError(f"{origin} is not YAML: {error}") from None


def _slip(text: str, error: Any) -> str:
    """What is wrong with a YAML document, and in which line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or error
    if mark is None:
        return " ".join(str(problem).split())
    line = next(iter(text.splitlines()[mark.line :]), "")
    if handle := re.match(r"@[^\s,#\]}]*", line[mark.column :]):
        return f'line {mark.line + 1}: a handle stands in quotes: "{handle[0]}"'
    hint = " (a URL within brackets stands in quotes)" if "://" in line else ""
    return f"line {mark.line + 1}, {line.strip()[:60]!r}: {problem}{hint}"
