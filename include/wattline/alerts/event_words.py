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
_OWN = {
    "digest": ("platform.md#the-daily-digest", "reliability_digest"),
    "reset": ("platform.md#commands", "command_complete"),
    "summary": ("alerts.md#somebody-was-told-too-much", "alert_outbox"),
    "undelivered": ("alerts.md#what-a-messages-state-says", "alert_outbox"),
}
"""Of messages that are of no event: the section of the runbook, and the pipeline that makes them."""
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

    def run(self, name: str, otherwise: str) -> str:
        """The page of the run `name` (`dag_id/run_id`); where it is not known, of the DAG `otherwise`, or Airflow's."""
        if not name:
            return f"{self.airflow}/dags/{otherwise}" if otherwise else self.airflow
        dag_id, _, run_id = name.partition("/")
        return f"{self.airflow}/dags/{dag_id}/runs/{quote(run_id, safe='')}"

    def of_event(self, type: int, run: str) -> dict[str, str]:  # noqa: A002 - the column's name
        """The run that told of an event, and the section of the runbook for its type."""
        page, pipeline = ("platform.md", "") if type >= _PLATFORM else ("events.md", _PIPELINE)
        return {"run": self.run(run, pipeline), "runbook": self._section(f"{page}#{type}")}

    def of_other(self, transition: str, run: str = "") -> dict[str, str]:
        """The same of a message that is of no event: digest, reset, summary, undelivered."""
        section, pipeline = _OWN[transition]
        return {"run": self.run(run, pipeline), "runbook": self._section(section)}

    def _section(self, place: str) -> str:
        return f"{self.runbooks or 'docs/runbooks'}/{place}"


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
        "plant": site.name if notice.mcno else "",
        "invno": notice.invno or "",
        "minutes": kind.escalate_minutes if kind else "",
        "at": f"{notice.at.astimezone(zone):{_MINUTE}}",
        "since": f"{began.astimezone(zone):{_MINUTE}}",
        "short_at": f"{(began if notice.transition == 'escalated' else notice.at).astimezone(zone):{_SHORT}}",
        "zone": site.timezone,
        "lasted": int((notice.at - began).total_seconds() // 60),
        **notice.values,
        "lines": str(notice.values.get(f"lines_{language}", "")).splitlines(),
        **_links(notice, links),
    }
    return compose(values, language)


def compose(values: Mapping[str, object], language: Language) -> Message:
    """A message from the values that its template needs, each in one line; `lines` stand below the rows."""
    words = template(f"event_{language}.j2")
    plain = {name: _one_line(value) if isinstance(value, str) else value for name, value in values.items()}
    values = _placed(words, {**_NOTHING, **plain})
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
    for name in ("about", "recipient", "what", "plant"):
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
        return links.of_other(notice.transition, notice.run)
    found = links.of_event(notice.type, notice.run)
    if notice.type >= _PLATFORM:
        return found
    identifier = event_id(**notice.key)  # type: ignore[arg-type]
    found["page"] = links.page(identifier)
    if notice.transition not in ("raised", "escalated"):
        return found
    # The command is there with every installation, the pages are not.
    command = f"wattline events check {identifier}"
    return {**found, "check": command, "check_page": links.page(identifier, "/check"), "id": identifier}


def _one_line(text: str) -> str:
    return " ".join(text.split())
