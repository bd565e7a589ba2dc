"""`wattline watchdog`."""

from __future__ import annotations

import signal
import traceback
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from wattline.alerts.channels import open_channels
from wattline.cli.connect import pipeline_documents
from wattline.platform import status
from wattline.platform.watchdog import Heartbeat, Look, Watchdog
from wattline.settings import settings


def watchdog(
    *,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks.")] = 60,
    once: Annotated[bool, typer.Option("--once", help="Look once and end; for cron or a systemd timer.")] = False,
    memory: Annotated[
        Path | None, typer.Option(help="The file that says who was told; default: watchdog.json in the data folder.")
    ] = None,
) -> None:
    """Tell the on-call when the platform itself is silent, and when it is back; runs until Ctrl-C or SIGTERM.

    It stands outside Airflow and looks at the newest heartbeat in MongoDB (`WATTLINE_MONGO_URL`). One that is older
    than `WATTLINE_WATCHDOG_MINUTES`, one that says that messages do not leave, and a MongoDB that does not answer twice
    in a row are told to `WATTLINE_ONCALL_URLS`: once when it begins, once when it is over. Best run on another machine
    than the platform.

    With `--once` the exit code is 1 while something is wrong, somebody could not be told, or the memory not written:

    - `wattline watchdog`
    - `wattline watchdog --once`
    """
    given, stop = settings(), _stopped()
    dog = Watchdog(
        newest=_newest,
        channels=open_channels(given.oncall_urls.get_secret_value().split()),
        memory=memory or given.data_dir / "watchdog.json",
        period=timedelta(minutes=given.watchdog_minutes),
        language=given.oncall_language,
        airflow=given.airflow_url,
        started=None if once else datetime.now(UTC),
    )
    if once:
        look = dog.look(datetime.now(UTC))
        _say(_line(look))
        raise typer.Exit(1 if look.trouble or look.failed else 0)
    before = ""
    while True:
        said = _looked(dog)
        if said != before:
            _say(said)
        before = said
        if stop.wait(every):
            return


def _looked(dog: Watchdog) -> str:
    """One look in words; the watchdog outlives whatever it runs into."""
    try:
        return _line(dog.look(datetime.now(UTC)))
    except Exception:  # the next look may fare better, and nobody else looks
        return traceback.format_exc()


def _newest(latest: datetime) -> Heartbeat | None:
    with pipeline_documents() as database:
        found = status.newest(database, latest)
    return Heartbeat.of(found) if found else None


def _line(look: Look) -> str:
    failed = [f"{label} failed: {error}" for label, error in look.failed.items()]
    told = [f"told {label}" for label in look.sent]
    return "; ".join([look.trouble or "in order", *told, *failed])


def _say(text: str) -> None:
    # Where the output is a file on a full disk, people are told all the same.
    with suppress(OSError):
        typer.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ} {text}")


def _stopped() -> Event:
    """Set by Ctrl-C and SIGTERM: the look that is under way is finished."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
