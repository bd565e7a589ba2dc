"""The three databases of a MyEMS installation, perhaps on three hosts."""

from __future__ import annotations

from dataclasses import dataclass

from wattline.storage.mysql import MySQLStore


@dataclass(frozen=True)
class Databases:
    """Stores of the three; whoever opened them closes them.

    Attributes:
        system: `myems_system_db`: meters, points, expressions. Only read.
        historical: `myems_historical_db`: readings and uploaded files. Read; cleaning marks readings there.
        energy: `myems_energy_db`: hourly energy, and Wattline's own tables.
    """

    system: MySQLStore
    historical: MySQLStore
    energy: MySQLStore

    def close(self) -> None:
        """Close all three."""
        for store in (self.system, self.historical, self.energy):
            store.close()
