"""Notices in words: mail with links, and an SMS that is one short message wherever cutting names makes it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from urllib.parse import quote
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
_LEAST_NAME_BESIDE_ID = 6
"""The same where the event's id stands in the text, which has the plant's number."""
_PLATFORM = 300
_PIPELINE = "reliability_inverter"
_MINUTE, _SHORT = "%Y-%m-%d %H:%M", "%m-%d %H:%M"
_NOTHING: Mapping[str, object] = dict.fromkeys(
    (
        "name",
        "plant",
        "invno",
        "minutes",
        "what",
        "detail",
        "page",
        "run",
        "check",
        "check_page",
        "runbook",
        "id",
        "lines",
    ),
    "",
)


@dataclass(frozen=True)
class Links:
    """Where messages lead to; each a URL without `/` at its end, or empty.

    Attributes:
        public: the pages of the read API, which show events and mark them as checked; empty where it is not installed.
        airflow: Airflow's UI.
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

    def page(self, identifier: str, action: str = "") -> str:
        """The page of an event, or of what can be done with it; empty where there are no pages."""
        return f"{self.public}/events/{identifier}{action}" if self.public else ""

    def run(self, notice: Notice) -> str:
        """The run that told of a notice; where it is not known, the pipeline of events, or Airflow itself."""
        if not notice.run:
            return self.airflow if notice.type >= _PLATFORM else f"{self.airflow}/dags/{_PIPELINE}"
        dag_id, _, run_id = notice.run.partition("/")
        return f"{self.airflow}/dags/{dag_id}/runs/{quote(run_id, safe='')}"

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
    """The SMS, with the event's id where it has room; where it is too long, names are cut, not beyond recognition."""
    with_id = _cut(words, values, _LEAST_NAME_BESIDE_ID) if values["id"] else ""
    if with_id and euc_kr_size(with_id) <= SMS_BYTES:
        return with_id
    return _cut(words, {**values, "id": ""}, _LEAST_NAME)


def _cut(words: Template, values: Mapping[str, object], least: int) -> str:
    """The SMS with names cut as far as it needs, to `least` bytes each at most."""
    given = dict(values)
    text = euc_kr_text(part(words, "sms", given))
    for name in ("about", "what", "plant"):
        size = euc_kr_size(euc_kr_text(str(given.get(name, ""))))
        over = euc_kr_size(text) - SMS_BYTES
        if over > 0 and size > least:
            given[name] = cut(euc_kr_text(str(given[name])), max(size - over, least))
            text = euc_kr_text(part(words, "sms", _placed(words, given)))
    return text


def _placed(words: Template, values: Mapping[str, object]) -> dict[str, object]:
    """`values` with what several parts say: the place, in long and in short, and the news of it."""
    return {**values, **{block: part(words, block, values) for block in ("place", "short_place", "news")}}


def _links(notice: Notice, links: Links) -> dict[str, str]:
    if "raised_at" not in notice.key:
        return {}
    if notice.type >= _PLATFORM:
        return {"runbook": links.runbook(notice.type), "run": links.run(notice)}
    identifier = event_id(**notice.key)  # type: ignore[arg-type]
    found = {
        "page": links.page(identifier),
        "run": links.run(notice),
        "runbook": links.runbook(notice.type),
    }
    if notice.transition not in ("raised", "escalated"):
        return found
    # The command is there with every installation, the pages are not.
    command = f"wattline events check {identifier}"
    return {**found, "check": command, "check_page": links.page(identifier, "/check"), "id": identifier}


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
