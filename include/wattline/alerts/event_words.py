"""Notices in words: mail with links, and an SMS that is one short message wherever cutting names makes it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

from jinja2 import Template

from wattline.alerts.notice import EventType, Language, Notice, event_id
from wattline.alerts.oncall import Message
from wattline.alerts.recipients import Site
from wattline.alerts.rendering import part, rows, template
from wattline.alerts.sms_text import SMS_BYTES, cut, euc_kr_size, euc_kr_text
from wattline.settings import settings

_LEAST_NAME = 10
"""Bytes to which a name may be cut: five syllables still tell plants apart."""
_PLATFORM = 300
_MINUTE, _SHORT = "%Y-%m-%d %H:%M", "%m-%d %H:%M"
_NOTHING: Mapping[str, object] = dict.fromkeys(
    ("name", "plant", "invno", "minutes", "what", "detail", "page", "acknowledge", "runbook", "lines"), ""
)


@dataclass(frozen=True)
class Links:
    """Where messages lead to; each a URL without `/` at its end, or empty.

    Attributes:
        public: the API's pages, which show events and acknowledge them.
        airflow: Airflow's UI, for who has no pages.
        runbooks: folder of the runbooks; empty: their path in the project.
    """

    public: str = ""
    airflow: str = ""
    runbooks: str = ""

    @classmethod
    def of_settings(cls) -> Links:
        """The links of this installation."""
        given = settings()
        return cls(*(url.rstrip("/") for url in (given.public_url, given.airflow_url, given.runbooks_url)))

    def page(self, identifier: str) -> str:
        """The page of an event, else the runs of the pipeline that raised it."""
        return f"{self.public}/events/{identifier}" if self.public else f"{self.airflow}/dags/reliability_inverter"

    def acknowledge(self, identifier: str) -> str:
        """The link, else the command, that marks an event as checked."""
        return f"{self.public}/events/{identifier}/check" if self.public else f"wattline events check {identifier}"

    def runbook(self, type: int) -> str:  # noqa: A002 - the column's name
        """The section of the runbook for a type of event."""
        page = "platform.md" if type >= _PLATFORM else "events.md"
        return f"{self.runbooks or 'docs/runbooks'}/{page}#{type}"


def compose_notice(notice: Notice, kind: EventType | None, site: Site, language: Language, links: Links) -> Message:
    """`notice` in words; times are the plant's local ones.

    Args:
        notice: what happened.
        kind: its type; None where the notice is no event.
        site: its plant.
        language: of the recipient.
        links: where the message leads to.
    """
    zone = ZoneInfo(site.timezone)
    since = notice.key.get("raised_at")
    began = since if isinstance(since, datetime) else notice.at
    name = "" if kind is None else kind.name_ko if language == "ko" else kind.name_en
    values: dict[str, object] = {
        **_NOTHING,
        "transition": notice.transition,
        "type": notice.type,
        "name": name,
        "mcno": notice.mcno or "",
        "plant": _one_line(site.name) if notice.mcno else "",
        "invno": notice.invno or "",
        "minutes": kind.escalate_minutes if kind else "",
        "at": f"{notice.at.astimezone(zone):{_MINUTE}}",
        "since": f"{began.astimezone(zone):{_MINUTE}}",
        "short_at": f"{(began if notice.transition == 'escalated' else notice.at).astimezone(zone):{_SHORT}}",
        "zone": site.timezone,
        "lasted": int((notice.at - began).total_seconds() // 60),
        **{name: _one_line(value) for name, value in notice.values.items()},
        "lines": str(notice.values.get(f"lines_{language}", "")).splitlines(),
        **_links(notice, links),
    }
    return compose(values, language)


def compose(values: Mapping[str, object], language: Language) -> Message:
    """A message from the values that its template needs; `lines` stand below the rows."""
    words = template(f"event_{language}.j2")
    values = _placed(words, {**_NOTHING, **values})
    headline, pairs, lines = (
        part(words, "headline", values),
        rows(words, values),
        cast("Sequence[str]", values["lines"]),
    )
    parts = [headline, "\n".join(f"{label}: {value}" for label, value in pairs), "\n".join(lines)]
    text = "\n\n".join(filter(None, parts)) + "\n"
    html = template("event.html.j2").render(headline=headline, rows=pairs, lines=lines)
    return Message(part(words, "subject", values), text, html + "\n", _short(words, values))


def _short(words: Template, values: Mapping[str, object]) -> str:
    """The SMS; where it is too long, names are cut, but not beyond recognition."""
    given = dict(values)
    text = euc_kr_text(part(words, "sms", given))
    for name in ("about", "what", "plant"):
        size = euc_kr_size(euc_kr_text(str(given.get(name, ""))))
        over = euc_kr_size(text) - SMS_BYTES
        if over > 0 and size > _LEAST_NAME:
            given[name] = cut(euc_kr_text(str(given[name])), max(size - over, _LEAST_NAME))
            text = euc_kr_text(part(words, "sms", _placed(words, given)))
    return text


def _placed(words: Template, values: Mapping[str, object]) -> dict[str, object]:
    """`values` with what several parts say: the place, in long and in short, and the news of it."""
    return {**values, **{block: part(words, block, values) for block in ("place", "short_place", "news")}}


def _links(notice: Notice, links: Links) -> dict[str, str]:
    if "raised_at" not in notice.key:
        return {}
    if notice.type >= _PLATFORM:
        return {"runbook": links.runbook(notice.type), "page": links.airflow}
    identifier = event_id(**notice.key)  # type: ignore[arg-type]
    asks = notice.transition in ("raised", "escalated")
    return {
        "page": links.page(identifier),
        "acknowledge": links.acknowledge(identifier) if asks else "",
        "runbook": links.runbook(notice.type),
    }


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
