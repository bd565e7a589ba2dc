"""Messages on events, in both languages: what they say, where they lead, and that an SMS stays a short one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wattline.alerts.event_words import Links, compose, compose_notice
from wattline.alerts.mail_sender import compose_mail
from wattline.alerts.notice import EventType, Language, Notice, Person, Transition, event_id, event_key, key_text
from wattline.alerts.oncall import Message
from wattline.alerts.outbox import document, number_of, quiet_end
from wattline.alerts.recipients import Site
from wattline.alerts.sending import Outgoing
from wattline.alerts.sinks import read_mail
from wattline.alerts.sms_text import SMS_BYTES, euc_kr_size
from wattline.errors import BadInputError
from wattline.solar.event_types import EVENT_TYPES

AT = datetime(2026, 11, 22, 9, 40, tzinfo=UTC)
LINKS = Links("https://watt.example.org", "http://airflow:8080", "https://docs.example.org/runbooks")
TYPES = {each.type: each for each in EVENT_TYPES}
ENDS: set[Transition] = {"cleared", "restart"}


def words(
    type: int = 201,  # noqa: A002
    transition: Transition = "raised",
    language: Language = "en",
    *,
    name: str = "Haenam 2",
    invno: int = 3,
    links: Links = LINKS,
    **values: Any,
) -> Message:
    key: dict[str, Any] = {"mcno": 17, "invno": invno, "type": type, "raised_at": AT}
    at = AT + timedelta(minutes=31) if transition in ENDS else AT
    notice = Notice(key, transition, 17, invno, type, at, values)
    return compose_notice(notice, TYPES.get(type), Site(17, name), language, links)


@pytest.mark.parametrize("kind", EVENT_TYPES, ids=lambda kind: str(kind.type))
@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("transition", ["raised", "cleared", "escalated", "restart"])
def test_every_type_has_words_in_every_transition(kind: EventType, language: Language, transition: Transition) -> None:
    message = words(kind.type, transition, language)
    name = kind.name_ko if language == "ko" else kind.name_en
    assert name in message.text
    assert f"({kind.type})" in message.text
    assert "Haenam 2" in message.subject
    assert message.sms
    for line in message.text.strip().splitlines()[2:]:
        assert line.partition(": ")[2], line


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("transition", ["raised", "cleared", "escalated", "restart", "reset"])
@given(
    name=st.text(min_size=1, max_size=80),
    what=st.text(max_size=200),
    invno=st.integers(0, 999),
    type_=st.sampled_from(sorted(TYPES)),
)
def test_an_sms_is_one_short_message_whatever_the_plant_is_called(
    language: Language, transition: Transition, *, name: str, what: str, invno: int, type_: int
) -> None:
    message = words(type_, transition, language, name=name, invno=invno, what=what)
    assert is_short(message)


def is_short(message: Message) -> bool:
    return euc_kr_size(message.sms) <= SMS_BYTES and not any("\n" in part for part in (message.sms, message.subject))


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("transition", ["digest", "summary", "undelivered"])
@example(about="정전 " * 40, recipient="r" * 200, number=99_999)
@given(about=st.text(max_size=200), recipient=st.text(max_size=200), number=st.integers(1, 99_999))
def test_an_sms_of_the_platform_is_one_short_message_whatever_it_speaks_of(
    language: Language, transition: str, about: str, recipient: str, number: int
) -> None:
    values = {"about": about, "recipient": recipient, "number": number, "channel": "mail", "day": "2026-11-22"}
    assert is_short(compose({"transition": transition, **values}, language))


@given(what=st.text("가나다 mysql,", min_size=60, max_size=200))
def test_a_long_list_of_what_is_down_is_cut(what: str) -> None:
    for transition in ("raised", "restart"):
        message = words(301, transition, "ko", what=what)
        assert is_short(message)
        assert message.sms.startswith("[Wattline] ")
        assert message.sms.endswith(("시스템 중단 11-22 18:40", "복구 11-22 19:11"))


def test_a_long_name_is_cut_and_nothing_else() -> None:
    message = words(202, "cleared", "ko", name="전라남도 해남군 북평면 태양광 영농조합법인 제2발전소", invno=12)
    assert euc_kr_size(message.sms) > SMS_BYTES - 3
    assert message.sms.startswith("[Wattline] 전라남도 해남군")
    assert message.sms.endswith(".. 12번 통신 이상 해제 11-22 19:11")


def test_the_inverter_s_number_0_is_the_whole_plant() -> None:
    assert "(whole plant)" in words(invno=0).subject
    assert "전체" in words(invno=0, language="ko").subject
    assert "#" not in words(invno=0).sms


def test_times_are_the_plant_s_and_an_end_says_how_long_it_was() -> None:
    text = words(transition="cleared").text
    assert "From: 2026-11-22 18:40 (Asia/Seoul)" in text
    assert "Until: 2026-11-22 19:11 (Asia/Seoul)" in text
    assert "Lasted: 31 minutes" in text


def test_a_mail_leads_to_the_event_its_runbook_and_the_check() -> None:
    identifier = "17.3.201.20261122T094000Z"
    text, html = words().text, words().html
    for link in (
        f"https://watt.example.org/events/{identifier}",
        f"https://watt.example.org/events/{identifier}/check",
        "https://docs.example.org/runbooks/events.md#201",
    ):
        assert link in text
        assert f'<a href="{link}">' in html
    without = words(links=Links("", "http://airflow:8080")).text
    # The command is there with every installation; the pages belong to the read API.
    for mail in (text, without):
        assert f"wattline events check {identifier}\n" in mail
        assert "http://airflow:8080/dags/reliability_inverter\n" in mail
    assert "/events/" not in without
    assert "check" not in words(transition="cleared").text


def test_a_mail_leads_to_the_run_that_tells_of_the_event() -> None:
    key: dict[str, Any] = {"mcno": 17, "invno": 3, "type": 201, "raised_at": AT}
    told = Notice(key, "raised", 17, 3, 201, AT, run="reliability_inverter/scheduled__2026-11-22T09:40:00+00:00")
    run = "http://airflow:8080/dags/reliability_inverter/runs/scheduled__2026-11-22T09%3A40%3A00%2B00%3A00"
    assert f"{run}\n" in compose_notice(told, TYPES[201], Site(17, "Haenam 2"), "en", LINKS).text


@pytest.mark.parametrize(
    ("transition", "section", "dag_id"),
    [
        ("digest", "platform.md#the-daily-digest", "reliability_digest"),
        ("reset", "platform.md#commands", "command_complete"),
        ("summary", "alerts.md#somebody-was-told-too-much", "alert_outbox"),
        ("undelivered", "alerts.md#what-a-messages-state-says", "alert_outbox"),
    ],
)
def test_a_mail_of_no_event_leads_to_its_runbook_and_run_too(transition: Any, section: str, dag_id: str) -> None:
    key: dict[str, Any] = {"command": "c1"}
    for run, page in (("", ""), (f"{dag_id}/scheduled__1", "/runs/scheduled__1")):
        values = {"day": "2026-11-22", "number": 2, "about": "x", "recipient": "mina", "channel": "sms"}
        told = Notice(key, transition, None, None, 0, AT, values, run=run)
        for language in get_args(Language):
            text = compose_notice(told, None, Site(0, ""), language, LINKS).text
            assert f"https://docs.example.org/runbooks/{section}\n" in text
            assert f"http://airflow:8080/dags/{dag_id}{page}\n" in text
    page_, _, anchor = section.partition("#")
    headings = (Path(__file__).parents[2] / "docs/runbooks" / page_).read_text().splitlines()
    slugs = {line[3:].lower().replace(" ", "-").replace("'", "") for line in headings if line.startswith("## ")}
    assert anchor in slugs


def test_a_message_keeps_its_number_and_address_whatever_event_it_is_led_to() -> None:
    mails = [
        document(("17.3.201.x", "raised"), Person("mina", mail=mail, phone=phone), "mail", words(), due_at=AT)
        for mail, phone in (("Mina@example.org", "010-1111-0001"), ("mina@example.org", "+82 10 1111 0001"))
    ]
    one = mails[0]
    assert number_of({**one, "event": "17.3.201.y"}) == number_of(one)
    assert len({number_of(one | {"_id": one["_id"] | {"event": name}}) for name in "ab"}) == 2
    assert len({mail["reaches"] for mail in mails}) == 1
    people = [Person("mina", phone=phone) for phone in ("010-1111-0001", "+82 10 1111 0001", "010.1111.0002")]
    texts = [document(("e", "raised"), person, "sms", words(), due_at=AT) for person in people]
    assert [text["reaches"] for text in texts] == ["01011110001", "01011110001", "01011110002"]


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("transition", ["raised", "escalated"])
def test_an_sms_has_the_event_s_id_where_it_fits(language: Language, transition: Transition) -> None:
    identifier = "17.3.202.20261122T094000Z"
    long = words(202, transition, language, name="전라남도 해남군 북평면 태양광 영농조합법인 제2발전소").sms
    for text in (words(202, transition, language).sms, long):
        assert text.endswith(f" {identifier}")
        assert euc_kr_size(text) <= SMS_BYTES
    assert "전라.." in long or "전라남도" in long
    assert identifier not in words(202, "cleared", language).sms


def test_an_id_that_would_cut_a_name_beyond_recognition_is_left_out() -> None:
    key: dict[str, Any] = {"mcno": 123456789, "invno": 123456, "type": 202, "raised_at": AT}
    notice = Notice(key, "escalated", 123456789, 123456, 202, AT)
    sms = compose_notice(notice, TYPES[202], Site(1, "전라남도 해남군 북평면 태양광 영농조합법인"), "en", LINKS).sms
    assert "123456789" not in sms
    assert "전라남도 해남군" in sms
    assert euc_kr_size(sms) <= SMS_BYTES


def test_what_people_named_stands_in_html_as_text() -> None:
    assert "&lt;b&gt;" in words(name="<b>").html


@given(st.text(alphabet=st.characters(exclude_categories=["C"]), max_size=120), st.text(max_size=200))
def test_a_mail_says_what_it_was_given(subject: str, text: str) -> None:
    outgoing = Outgoing("n", "mina@example.org", {"subject": subject, "text": text, "html": f"<p>{text}</p>"}, AT)
    got = read_mail("a@example.org", ["mina@example.org"], compose_mail("a@example.org", outgoing))
    assert got["subject"] == " ".join(subject.split())
    # A mail has one line at least.
    assert got["text"].splitlines() == (text.splitlines() or [""])
    assert got["message_id"] == "<n@wattline>"


def test_a_digest_has_the_lines_of_its_language_and_the_platform_has_no_plant() -> None:
    key = {"digest": "daily", "user": "mina", "day": "2026-11-22"}
    values = {"day": "2026-11-22", "lines_ko": "가\n나", "lines_en": "a\nb"}
    digest = Notice(key, "digest", None, None, 0, AT, values)
    assert "\n가\n나\n" in compose_notice(digest, None, Site(0, ""), "ko", LINKS).text
    assert "a<br>\nb<br>" in compose_notice(digest, None, Site(0, ""), "en", LINKS).html
    down = Notice(
        {"mcno": 0, "invno": 0, "type": 301, "raised_at": AT}, "raised", None, None, 301, AT, {"what": "mysql"}
    )
    message = compose_notice(down, TYPES[301], Site(0, ""), "en", LINKS)
    assert message.subject == "[Wattline] mysql: platform down"
    assert "Plant" not in message.text


def test_a_summary_names_the_first_and_lists_all() -> None:
    lines = [f"Plant {n}: blackout" for n in range(30)]
    message = compose({"transition": "summary", "lines": lines, "number": 30, "about": lines[0]}, "en")
    assert message.subject == "[Wattline] 30 more messages in one hour"
    assert message.text.count("blackout") == 30
    assert euc_kr_size(message.sms) <= SMS_BYTES


@given(
    st.integers(0, 10**6),
    st.integers(0, 999),
    st.integers(100, 399),
    st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_an_event_s_id_is_its_key_and_fits_shells_and_urls(mcno: int, invno: int, type_: int, at: datetime) -> None:
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    identifier = event_id(mcno, invno, type_, at)
    assert event_key(identifier) == {"mcno": mcno, "invno": invno, "type": type_, "raised_at": at}
    assert set(identifier) <= set("0123456789.TZ")


@pytest.mark.parametrize(
    "text", ["", "1.2.201", "1.2.201.20261399T000000Z", "1.2.201.20261122T094000Z; rm", "x.2.201.1"]
)
def test_what_is_no_event_id_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="is no event id"):
        event_key(text)


def test_other_keys_are_their_values() -> None:
    assert key_text({"digest": "daily", "user": "mina", "day": "2026-11-22"}) == "digest.daily.user.mina.day.2026-11-22"


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_the_end_of_quiet_hours_is_the_next_moment_between_7_and_22(at: datetime) -> None:
    for zone in ("Asia/Seoul", "Europe/Berlin"):
        end = quiet_end(zone, at)
        assert at <= end <= at + timedelta(hours=10)
        assert quiet_end(zone, end) == end
        assert end == at or quiet_end(zone, end - timedelta(seconds=1)) == end
