"""Commands to gateways: what becomes of a `reset` that a gateway has carried out.

`command_queue` holds what was asked for: `_id`, `mcno`, `invno`, `command`, `phone` (the number to tell), who asked
when (`requested_by`, `requested_at`), and, once the gateway has answered, `finished_at`, `ok` and `result`. A finished
reset goes to `command_history` and its number is told, in that order, before it leaves the queue: whenever this is
interrupted, the next run finds the command and does the rest. Other commands are left to whoever asked for them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pymongo import ReplaceOne
from pymongo.database import Database

from wattline.alerts import outbox, recipients
from wattline.alerts.notice import Language, Notice, Person
from wattline.alerts.sms_text import phone_digits
from wattline.solar import event_types
from wattline.storage.documents import Document, documents, translated

RESET = "reset"
AT_ONCE = 1_000
"""Commands that one run takes; the next takes the others."""
log = logging.getLogger(__name__)


def finished(database: Database[Document]) -> list[Document]:
    """Resets that gateways have carried out, well or not, oldest first.

    Raises:
        TransientError: the server cannot be reached.
    """
    # What is no date cannot be kept, and would come before everything else.
    wanted = {"command": RESET, "finished_at": {"$type": "date"}}
    with translated():
        return list(documents(database, "command_queue").find(wanted).sort("finished_at").limit(AT_ONCE))


def keep(database: Database[Document], commands: Sequence[Document]) -> None:
    """Write commands to `command_history`, under their own `_id`; writing them again changes nothing.

    Raises:
        TransientError: the server cannot be reached.
    """
    orders = [ReplaceOne({"_id": command["_id"]}, command, upsert=True) for command in commands]
    if orders:
        with translated():
            documents(database, "command_history").bulk_write(orders, ordered=False)


def remove(database: Database[Document], commands: Sequence[Document]) -> int:
    """Take commands that are in `command_history` out of the queue; how many.

    Raises:
        TransientError: the server cannot be reached.
    """
    with translated():
        done = {"_id": {"$in": [command["_id"] for command in commands]}}
        kept = [row["_id"] for row in documents(database, "command_history").find(done, {"_id": 1})]
        return int(documents(database, "command_queue").delete_many({"_id": {"$in": kept}}).deleted_count)


def tell(database: Database[Document], commands: Sequence[Document], run: str) -> int:
    """Queue what the numbers that commands name are told; how many messages are new.

    A command that cannot be told is logged, and stops no other.

    Args:
        database: holds the outbox, recipients and event types.
        commands: documents of `command_queue`.
        run: the run that tells, `dag_id/run_id`.

    Raises:
        TransientError: the server cannot be reached; telling again queues nothing twice.
    """
    of_numbers = languages(database)
    people = recipients.load(database, {each["mcno"] for each in commands if isinstance(each["mcno"], int)})
    types, queued = event_types.load(database), 0
    for command in commands:
        try:
            found = notice(command, of_numbers)
            queued += outbox.queue(database, [found] if found else [], people, types, run)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            log.exception("Command %s is kept in command_history, and nobody is told of it", command["_id"])
    return queued


def notice(command: Document, languages: dict[str, Language]) -> Notice | None:
    """What the number that a command names is told, by the same key each time; None where it went wrong or names none.

    Args:
        command: a document of `command_queue`.
        languages: number → language of the user who has it; Korean where nobody has.

    Raises:
        KeyError, TypeError: what is there cannot be told.
    """
    phone = command.get("phone")
    if not phone or not command.get("ok", True):
        return None
    if not isinstance(phone, str):
        raise TypeError(f"phone is {phone!r}, and no text")
    return Notice(
        key={"command": str(command["_id"])},
        transition="reset",
        mcno=command["mcno"],
        invno=command.get("invno"),
        type=0,
        at=command["finished_at"],
        to=(Person(phone, languages.get(phone_digits(phone), "ko"), phone=phone),),
    )


def languages(database: Database[Document]) -> dict[str, Language]:
    """The digits of every user's number → the language of their messages.

    Raises:
        TransientError: the server cannot be reached.
    """
    with translated():
        users: Any = database["users"].find({"phone": {"$type": "string"}}, {"phone": 1, "language": 1})
        return {phone_digits(user["phone"]): "en" if user.get("language") == "en" else "ko" for user in users}
