"""Who hears of a plant: its owner, its manager, the administrators; how, and in which language."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from zoneinfo import ZoneInfo

from pymongo.database import Database

from wattline.alerts.notice import Language, Person, Role
from wattline.storage.documents import Document, translated

ADMINISTRATOR = "administrator"
DEFAULT_ZONE = "Asia/Seoul"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """What messages say of a plant, and who answers for it."""

    mcno: int
    name: str
    timezone: str = DEFAULT_ZONE
    owner: Person | None = None
    manager: Person | None = None


@dataclass(frozen=True)
class Recipients:
    """Plants with their people, and the administrators."""

    sites: Mapping[int, Site]
    administrators: tuple[Person, ...]

    def site(self, mcno: int | None) -> Site:
        """The plant `mcno`; one that is not known has its number for a name, and nobody."""
        return self.sites.get(mcno or 0) or Site(mcno or 0, str(mcno or ""))

    def of(self, mcno: int | None, roles: Sequence[Role]) -> list[Person]:
        """Everybody in `roles` of the plant, each once."""
        site = self.site(mcno)
        people: dict[str, Person] = {}
        for role in roles:
            found = self.administrators if role == "administrators" else (getattr(site, role),)
            people |= {person.name: person for person in found if person is not None}
        return list(people.values())


def load(database: Database[Document], plants: Iterable[int] | None = None) -> Recipients:
    """The people of `plants` (all of them where None) as MongoDB has them.

    Raises:
        TransientError: the server cannot be reached.
    """
    chosen: Document = {} if plants is None else {"_id": {"$in": [{"mcno": mcno} for mcno in sorted(set(plants))]}}
    with translated():
        users = {each["_id"]["user_id"]: _user(each) for each in database["users"].find()}
        owners = {each["_id"]["mcno"]: each for each in database["customer"].find(chosen)}
        stations = list(database["power_station"].find(chosen))
    sites = {each["_id"]["mcno"]: _site(each, users, owners.get(each["_id"]["mcno"], {})) for each in stations}
    administrators = [person for _, person in sorted(users.items()) if person.administrator]
    return Recipients(sites, tuple(administrators))


def _user(user: Mapping[str, Any]) -> Person:
    return Person(
        user["_id"]["user_id"],
        _language(user.get("language")),
        user.get("phone"),
        user.get("mail"),
        user.get("authority") == ADMINISTRATOR,
    )


def _site(station: Mapping[str, Any], users: Mapping[str, Person], customer: Mapping[str, Any]) -> Site:
    mcno = station["_id"]["mcno"]
    owner_id = station.get("owner_id") or customer.get("owner_id")
    owner = users.get(owner_id or "") or _owner_without_account(mcno, customer)
    return Site(
        mcno,
        station.get("name") or str(mcno),
        _zone(mcno, station.get("timezone") or DEFAULT_ZONE),
        owner,
        users.get(station.get("manager_id") or ""),
    )


def _zone(mcno: int, name: Any) -> str:
    """A plant's time zone; the default for one that is none: it must not silence the other plants."""
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, TypeError, OSError):
        # The last is for folders of zones, such as "Asia".
        log.warning("Plant %s: %r is no time zone; its messages have the times of %s", mcno, name, DEFAULT_ZONE)
        return DEFAULT_ZONE


def _owner_without_account(mcno: int, customer: Mapping[str, Any]) -> Person | None:
    phone, mail = customer.get("owner_phone"), customer.get("owner_mail")
    return Person(f"owner:{mcno}", "ko", phone, mail) if phone or mail else None


def _language(text: Any) -> Language:
    return cast("Language", text) if text in ("ko", "en") else "ko"
