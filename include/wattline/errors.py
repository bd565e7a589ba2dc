"""The errors of Wattline: whether trying again can help is part of the type."""


class WattlineError(Exception):
    """Base of every error that Wattline raises on purpose."""


class TerminalError(WattlineError):
    """Trying again gives the same result: bad input, missing table, wrong rights."""


class TransientError(WattlineError):
    """Trying again may help: a server is down, a lock timed out, a connection broke."""


class BadInputError(TerminalError):
    """Input that cannot be used; the message names the row, the field and the remedy."""

    def __init__(self, problem: str, *, row: object | None = None, field: str | None = None, remedy: str) -> None:
        place = ", ".join(part for part in (f"row {row}" if row is not None else "", field or "") if part)
        super().__init__(f"{place}: {problem}. {remedy}" if place else f"{problem}. {remedy}")
        self.row = row
        self.field = field
        self.remedy = remedy


class BatchRejectedError(TerminalError):
    """A quality gate stopped a whole batch: too large a share of its rows is bad."""
