"""`wattline simulate`."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from threading import Event
from typing import Annotated

import typer
from rich.table import Table

from wattline.cli.connect import gateway_mysql
from wattline.cli.console import wide_console
from wattline.errors import BadInputError
from wattline.solar.faults import Fault
from wattline.solar.world import World
from wattline.window import Window, parse_time


def simulate(
    *,
    start: Annotated[str, typer.Option("--from", help="Begin of the window, with offset: 2026-11-20T00:00Z.")],
    end: Annotated[str | None, typer.Option("--to", help="End of the window, not included; default: now.")] = None,
    plants: Annotated[int, typer.Option(min=1, max=10_000, help="How many plants; 8 inverters each on average.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Which world: the same seed gives the same plants and rows.")] = 7,
    faults: Annotated[bool, typer.Option("--faults/--no-faults", help="Let things go wrong, every day.")] = True,
    live: Annotated[bool, typer.Option("--live", help="Go on as time passes, until Ctrl-C or SIGTERM.")] = False,
) -> None:
    """Fill MySQL with readings of simulated solar plants, as field gateways do.

    Most plants lie in Korea, number 1003 in Germany. Gateways report every five minutes. Each day brings one of every
    kind of fault (a silent gateway, a blackout, a dead inverter, a counter reset, a counter that shows 0 once, late
    rows, rows sent twice, nonsense values, a wrong clock); they are listed: that is what the pipelines should find.

    The other tables of the legacy database get their rows too: connection boxes and their log, events and SMS of those
    faults, temperatures, irradiance of two plants in five, what gateways last said, users, sensors, addresses, and
    generation of the days before.

    A gateway's nonsense is more than a live tick of a few plants may hold: the gate stops it and tells the on-call.

    The window is by time of arrival. Running it again changes nothing, and a later window goes on where the first
    began: the same world has the same rows, whatever the window.

    To try it:

    - `wattline simulate --from 2026-11-20T00:00Z --to 2026-11-22T00:00Z --plants 20 --seed 7`
    - `wattline simulate --from 2026-11-22T00:00Z --live` fills up to now and goes on
    """
    now = datetime.now(UTC)
    window = Window(parse_time(start, "--from"), parse_time(end, "--to") if end else now)
    if live and end:
        raise BadInputError("--live has no end", field="--to", remedy="Leave out --to or --live")
    console = wide_console()
    with gateway_mysql() as store:
        world = World.open(store, plants, seed, window.start, with_faults=faults)
        written = world.send(store, window)
        console.print(_fault_table([fault for fault in world.faults(window.end) if fault.end > window.start]))
        console.print(
            f"{plants} plants, {sum(len(plant.inverters) for plant in world.plants)} inverters, {window}: "
            f"{written.inserted} readings are new, {written.updated} changed, {written.unchanged} were there."
        )
        if live:
            for line in world.follow(store, window.end, now=lambda: datetime.now(UTC), stop=_until_stopped()):
                console.print(line)


def _fault_table(faults: list[Fault]) -> Table:
    table = Table("fault", "plant", "inverter", "from", "to", title=f"{len(faults)} faults in this window")
    for fault in faults:
        inverters = ", ".join(map(str, fault.invnos)) or "all"
        table.add_row(
            fault.kind, str(fault.mcno), inverters, *(f"{t:%Y-%m-%d %H:%MZ}" for t in (fault.start, fault.end))
        )
    return table


def _until_stopped() -> Event:
    """Set by Ctrl-C and SIGTERM: the write that runs is finished."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
