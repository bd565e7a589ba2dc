from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattline.alerts.oncall import (
    ERROR_LENGTH,
    Entry,
    Failure,
    Language,
    Notice,
    compose,
    fold,
    last_line,
    not_told,
    redact,
)
from wattline.alerts.sms_text import SMS_BYTES, euc_kr_size
from wattline.window import Window

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FAILURE = Failure(
    dag_id="inverterlog",
    task_id="store_log",
    run_id="scheduled__2026-11-22T11:50:00+00:00",
    window=Window(NOON - timedelta(minutes=10), NOON),
    attempt=3,
    error="TransientError: MySQL does not answer <2003>",
    log_url="http://localhost:8080/dags/inverterlog/runs/r/tasks/store_log?try_number=3&x=1",
)
LANGUAGES = get_args(Language)


def failure(task: str) -> Failure:
    return replace(FAILURE, task_id=task)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_message_says_what_where_when_why_and_where_to_read_on(language: Language) -> None:
    message = compose([Notice(FAILURE, 3, NOON - HOUR), Notice(failure("store_days"))], language)

    for part in ("inverterlog", "store_log", str(FAILURE.window), FAILURE.error, FAILURE.log_url, "store_days"):
        assert part in message.text
    assert "3" in message.text
    assert "2026-11-22 11:00" in message.text
    assert "inverterlog.store_log" in message.subject
    assert "\n" not in message.subject
    assert "&lt;2003&gt;" in message.html
    assert 'href="http://localhost:8080/dags/inverterlog/runs/r/tasks/store_log?try_number=3&amp;x=1"' in message.html


def test_the_two_languages() -> None:
    english, korean = (compose([Notice(FAILURE, 3, NOON - HOUR)], language) for language in LANGUAGES)

    assert english.subject == "[Wattline] inverterlog.store_log failed"
    assert korean.subject == "[Wattline] inverterlog.store_log 실패"
    assert english.sms == "inverterlog.store_log failed 11-22 11:50Z, and 3 more since 11:00Z: TransientError: MySQ.."
    assert korean.sms == "inverterlog.store_log 실패 11-22 11:50Z, 11:00Z 이후 3건 더: TransientError: MySQL does .."


def test_a_killed_task_a_late_run_and_a_trial_have_their_own_words() -> None:
    killed = compose([Notice(replace(FAILURE, error=""))], "en")
    late = compose([Notice(replace(FAILURE, task_id="", kind="late", error="running", attempt=0))], "en")
    trial = compose([Notice(replace(FAILURE, task_id="", kind="test", error="", window=None))], "en")

    assert "killed or lost (no error was reported)" in killed.text
    assert killed.sms.endswith(": killed or lost")
    assert late.subject == "[Wattline] inverterlog is late"
    assert late.sms == "inverterlog late 11-22 11:50Z: running"
    assert "nothing has failed" in trial.text
    assert "killed" not in trial.text


DRIFT = replace(
    FAILURE,
    dag_id="migration_inverter_m10",
    task_id="inverterlog.plan",
    kind="drift",
    attempt=1,
    error="inverterlog.fan <int> is not in the entry; inverterlog.door is not in the entry",
    table="inverterlog",
    lines=("inverterlog.fan <int> is not in the entry", "inverterlog.door is not in the entry"),
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_drift_is_told_line_by_line_and_as_no_failure(language: Language) -> None:
    message = compose([Notice(DRIFT, 3, NOON - HOUR)], language)

    rows = message.text.splitlines()
    assert [sum(line in row for row in rows) for line in DRIFT.lines] == [1, 1]
    for part in ("migration_inverter_m10", "inverterlog.plan", str(FAILURE.window), FAILURE.log_url, "`ignored`"):
        assert part in message.text
    assert not {"failed", "Error", "실패", "오류", "killed", "강제"} & set(message.text.split())
    assert "fan &lt;int&gt;" in message.html


def test_drift_in_the_two_languages() -> None:
    english, korean = (compose([Notice(DRIFT)], language) for language in LANGUAGES)

    assert english.subject == "[Wattline] migration_inverter_m10.inverterlog.plan found unknown columns"
    assert english.text.startswith("The source table of inverterlog has columns that its migration does not know.")
    assert english.sms == "migration_inverter_m10.inverterlog.plan unknown columns 11-22 11:50Z: inverterlog.fan <i.."
    assert korean.subject == "[Wattline] migration_inverter_m10.inverterlog.plan 모르는 열 발견"
    assert korean.text.startswith("inverterlog의 원본 테이블에 이관 정의가 모르는 열이 있습니다.")
    assert korean.sms == "migration_inverter_m10.inverterlog.plan 모르는 열 11-22 11:50Z: inverterlog.fan <int> is.."


def test_drift_of_two_tables_and_a_failure_of_the_same_task_are_told_each() -> None:
    state: dict[str, Entry] = {}
    told = []
    for each in (DRIFT, replace(DRIFT, table="event"), replace(DRIFT, kind="failed", table=""), DRIFT):
        state, notice = fold(state, each, NOON, HOUR)
        told.append(notice is not None)

    assert told == [True, True, True, False]


@given(
    error=st.text(max_size=200),
    more=st.integers(0, 10_000),
    others=st.integers(0, 30),
    language=st.sampled_from(LANGUAGES),
)
def test_the_sms_is_short_and_fits_the_provider_whatever_the_error(
    error: str, more: int, others: int, language: Language
) -> None:
    notices = [Notice(replace(FAILURE, error=last_line(error)), more, NOON if more else None)]
    message = compose([*notices, *(Notice(failure(f"t{n}")) for n in range(others))], language)

    assert euc_kr_size(message.sms) <= SMS_BYTES
    assert "\n" not in message.sms


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("cannot reach mysql://pipelines:hunter2@db:3306/solar", "cannot reach mysql://***@db:3306/solar"),
        ("mongodb+srv://u:hun/ter2@x@db/solar?tls=true is down", "mongodb+srv://***@db/solar?tls=true is down"),
        ("https://hunter2@host/hook answered 500", "https://***@host/hook answered 500"),
        ("login failed: password=hunter2, user=bob", "login failed: password=***, user=bob"),
        ("{'api_key': 'hunter2 with blanks', 'mcno': 3}", "{'api_key': ***, 'mcno': 3}"),
        ('MYSQL_PWD: "hunter2"', "MYSQL_PWD: ***"),
        ("Authorization: Bearer hunter2hunter2.x-y_z", "Authorization: Bearer ***"),
        (
            "HMAC-SHA256 ApiKey=hunter2, Date=2026, signature=hunter2",
            "HMAC-SHA256 ApiKey=***, Date=2026, signature=***",
        ),
        ("token hunter2hunter2hunter2hunter2hunter2 expired", "token *** expired"),
        ("row 17, ackw: 12.5 kW is above 10. Check inverter 3", "row 17, ackw: 12.5 kW is above 10. Check inverter 3"),
        ("Basic checks of inverterlog_202611 failed", "Basic checks of inverterlog_202611 failed"),
    ],
)
def test_secrets_are_taken_out_and_nothing_else(text: str, kept: str) -> None:
    assert redact(text) == kept
    assert "hunter2" not in redact(text)


def test_the_last_line_that_says_something() -> None:
    assert last_line("Traceback\n  File x\nTransientError:  no\tanswer\n\n") == "TransientError: no answer"
    assert last_line("") == ""
    assert len(last_line("x y " * 1000)) == ERROR_LENGTH


def test_a_task_is_told_at_once_then_counted_then_told_with_the_count() -> None:
    state: dict[str, Entry] = {}
    told = []
    for minutes in (0, 10, 20, 59, 60, 70):
        state, notice = fold(state, FAILURE, NOON + timedelta(minutes=minutes), HOUR)
        told.append(notice and (notice.more, notice.since))

    assert told == [(0, None), None, None, None, (3, NOON), None]


def test_what_could_not_be_sent_is_told_with_the_next_failure() -> None:
    state = not_told({}, FAILURE, NOON)
    state = not_told(state, FAILURE, NOON + timedelta(minutes=10))

    _, notice = fold(state, FAILURE, NOON + timedelta(minutes=20), HOUR)

    assert notice == Notice(FAILURE, 2, NOON)


def test_a_clock_set_back_does_not_silence_a_task() -> None:
    state, _ = fold({}, FAILURE, NOON, HOUR)

    assert fold(state, FAILURE, NOON - timedelta(days=30), HOUR)[1]


def test_tasks_that_have_nothing_left_to_tell_are_forgotten() -> None:
    state: dict[str, Entry] = {}
    for n in range(20):
        state, _ = fold(state, failure(f"t{n}"), NOON + n * HOUR, HOUR)

    assert len(state) == 1


EVENTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 90), st.booleans()), max_size=60)


@given(events=EVENTS)
def test_every_failure_is_told_or_counted_and_none_within_the_window_twice(events: list[tuple[str, int, bool]]) -> None:
    state: dict[str, Entry] = {}
    now, failures, reported = NOON, dict.fromkeys("abc", 0), dict.fromkeys("abc", 0)
    last_sent: dict[str, datetime] = {}
    for task, minutes, works in events:
        now += timedelta(minutes=minutes)
        failures[task] += 1
        after, notice = fold(state, failure(task), now, HOUR)
        if task not in last_sent or now - last_sent[task] >= HOUR:
            assert notice, "a first failure, or one after the window, must be told"
        if notice and works:
            reported[task] += 1 + notice.more
            last_sent[task] = now
        elif notice:
            after = not_told(state, failure(task), now)
            last_sent.pop(task, None)
        else:
            assert now - last_sent[task] < HOUR
        state = after
    for task in "abc":
        pending = [entry.more for key, entry in state.items() if key.endswith(task)]
        assert reported[task] + sum(pending) == failures[task]


@given(events=EVENTS)
def test_tasks_do_not_disturb_each_other(events: list[tuple[str, int, bool]]) -> None:
    def notices_of(task: str, seen: str) -> list[Notice | None]:
        state: dict[str, Entry] = {}
        now, notices = NOON, []
        for name, minutes, _ in events:
            now += timedelta(minutes=minutes)
            if name in seen:
                state, notice = fold(state, failure(name), now, HOUR)
                if name == task:
                    notices.append(notice)
        return notices

    assert notices_of("a", "abc") == notices_of("a", "a")
