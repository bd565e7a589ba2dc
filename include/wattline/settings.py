"""Every setting of Wattline, typed, with its default and what it means.

Values come from the environment (`WATTLINE_…`) or from the file that `WATTLINE_ENV_FILE` names (the local stack writes
`.local/wattline.env`). Inside Airflow the databases come from Airflow connections instead, so that rights and
secrets have one home there.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from wattline.errors import BadInputError


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("Input should be a time zone of the IANA database, such as Asia/Seoul") from None
    return name


def _in_utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC)


def _part_of_an_hour(minutes: int) -> int:
    if 60 % minutes:
        raise ValueError("Input should divide an hour: 1, 2, 3, 4, 5, 6, 10, 12, 15, 20 or 30")
    return minutes


class Settings(BaseSettings):
    """Settings of the command line and of the pipelines."""

    model_config = SettingsConfigDict(env_prefix="WATTLINE_", extra="ignore")

    mysql_owner_url: SecretStr = Field(
        SecretStr(""), description="mysql://user:password@host:port/solar of the schema's owner (`wattline schema`)"
    )
    mysql_gateway_url: SecretStr = Field(
        SecretStr(""), description="the same for the field gateways' user: simulator and CSV importer"
    )
    mysql_source_url: SecretStr = Field(
        SecretStr(""), description="the same for a user who only reads, for migrations and `wattline generation`"
    )
    mysql_url: SecretStr = Field(SecretStr(""), description="the same for the pipelines' user (reads, writes results)")
    mongo_url: SecretStr = Field(SecretStr(""), description="mongodb://user:password@host:port/solar of the pipelines")
    mongo_owner_url: SecretStr = Field(SecretStr(""), description="the same for the owner (collections, validators)")

    myems_system_url: SecretStr = Field(
        SecretStr(""), description="mysql://user:password@host:port/myems_system_db of the meter pipelines' user"
    )
    myems_historical_url: SecretStr = Field(
        SecretStr(""), description="the same for myems_historical_db, which holds the readings"
    )
    myems_energy_url: SecretStr = Field(
        SecretStr(""), description="the same for myems_energy_db, which holds the hourly energy"
    )
    myems_owner_url: SecretStr = Field(
        SecretStr(""),
        description="the same for the owner of myems_energy_db (`wattline meters upgrade`), or of all three",
    )

    airflow_url: str = Field("http://localhost:8080", description="address of Airflow's UI and REST API")
    airflow_user: str = Field("admin", description="user for `wattline history`")
    airflow_password: SecretStr = Field(SecretStr(""), description="its password")

    data_dir: Path = Field(Path(".local"), description="folder for everything that Wattline writes to disk")
    staging: str = Field(
        "", description="where frames wait between tasks: a path or URL of Airflow's object storage; <data_dir>/staging"
    )
    quality_pages: str = Field("", description="where results of gates are kept as HTML, likewise; <data_dir>/quality")
    retry_seconds: int = Field(30, ge=1, description="wait before the first retry of a failed task; doubles each time")

    late_horizon_hours: int = Field(
        72, ge=0, description="readings that arrive later than this are reported, and wait for `wattline history`"
    )
    migrate_query_seconds: float = Field(
        2.0, gt=0, description="a migration's statement that holds MySQL longer is ended, and tried with fewer rows"
    )
    max_bad_share: float = Field(0.05, ge=0, le=1, description="a gate stops a batch with a larger share of bad rows")

    meters_minutes_to_count: int = Field(
        60, ge=30, le=60, multiple_of=30, description="length of a slot of the meters' energy in minutes: 60 or 30"
    )
    meters_minutes_to_clean: int = Field(
        30, ge=0, description="a slot counts once it is over for so many minutes: readings come late and are cleaned"
    )
    meters_start: Annotated[AwareDatetime, AfterValidator(_in_utc)] = Field(
        datetime(2026, 1, 1, tzinfo=UTC), description="where a meter without hourly rows begins; ISO 8601 with offset"
    )
    meters_mode: Literal["strict", "recover"] = Field(
        "strict", description="strict: MyEMS's rows exactly; recover: also what a gap or a roll-over would drop"
    )
    meters_zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        "UTC", description="time zone of the site: its days, months and years are counted; a name such as Asia/Seoul"
    )
    meters_lookback_hours: int = Field(
        48, ge=0, description="each hourly run looks so far back for late or repaired readings and for missing rows"
    )
    meters_offline_folder: str = Field(
        "", description="watched folder for the Excel files of offline meters; <data_dir>/offline"
    )

    oncall_urls: SecretStr = Field(
        SecretStr(""),
        description="whom to tell of failed runs: Apprise URLs, separated by blanks (mailto://, solapi://)",
    )
    oncall_language: Literal["en", "ko"] = Field("en", description="language of on-call messages: en or ko")
    oncall_fold_minutes: int = Field(60, ge=0, description="failures of one task within this time are folded into one")

    mail_url: SecretStr = Field(
        SecretStr(""),
        description="mail server for messages on events: an Apprise URL without recipient (mailtos://user:password@host)",
    )
    sms_url: SecretStr = Field(
        SecretStr(""),
        description="account for SMS on events: solapi://KEY:SECRET@/SENDER, or any Apprise URL that takes `to=`",
    )
    public_url: str = Field(
        "", description="address of the read API's pages, which messages link beside the command; empty: no such links"
    )
    runbooks_url: str = Field("", description="where docs/runbooks can be read, for links in messages")

    heartbeat_minutes: Annotated[int, AfterValidator(_part_of_an_hour)] = Field(
        5, ge=1, le=30, description="distance of two runs of heartbeat in minutes; an hour is a multiple of it"
    )
    watchdog_minutes: float = Field(
        15, gt=0, description="the watchdog tells the on-call when heartbeat has been silent for longer"
    )

    @property
    def staging_url(self) -> str:
        """Base URL of staged frames."""
        return self.staging or (self.data_dir.absolute() / "staging").as_uri()

    @property
    def quality_url(self) -> str:
        """Base URL of the gates' HTML pages."""
        return self.quality_pages or (self.data_dir.absolute() / "quality").as_uri()

    @property
    def meters_cron(self) -> str:
        """When runs of the hourly normalization begin: each slot, once its readings had time to come and be cleaned."""
        minutes = range(self.meters_minutes_to_clean % self.meters_minutes_to_count, 60, self.meters_minutes_to_count)
        return f"{','.join(map(str, minutes))} * * * *"

    @property
    def offline_folder(self) -> Path:
        """The watched folder of offline meters' files."""
        return Path(self.meters_offline_folder) if self.meters_offline_folder else self.data_dir / "offline"

    @property
    def late_horizon(self) -> timedelta:
        """How far back late readings are recomputed by the live run."""
        return timedelta(hours=self.late_horizon_hours)


@lru_cache
def settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        BadInputError: the environment holds a value that does not fit its setting; the message does not show it.
    """
    try:
        return Settings(_env_file=os.environ.get("WATTLINE_ENV_FILE") or None)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "_".join(map(str, first["loc"])).upper().removeprefix("WATTLINE_")
        raise BadInputError(
            first["msg"], field=f"WATTLINE_{name}", remedy="docs/settings.md says what it takes"
        ) from None
