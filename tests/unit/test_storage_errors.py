from __future__ import annotations

import MySQLdb
import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from wattline.errors import TerminalError, TransientError
from wattline.storage.documents import translated
from wattline.storage.mysql_errors import reader_error, server_error

SECRETS = ["mysql://pipelines:hunter2@db/solar", "hunter2"]


@pytest.mark.parametrize("code", [1040, 1205, 1213, 2002, 2003, 2006, 2013])
def test_mysql_errors_that_pass(code: int) -> None:
    assert isinstance(server_error(MySQLdb.OperationalError(code, "away"), SECRETS), TransientError)


@pytest.mark.parametrize("code", [1044, 1045, 1054, 1142, 1146, 1264, 1406])
def test_mysql_errors_that_stay(code: int) -> None:
    error = server_error(MySQLdb.OperationalError(code, "no such thing"), SECRETS)
    assert isinstance(error, TerminalError)
    assert str(error) == f"MySQL: no such thing ({code})"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("MySqlError { ERROR 1146 (42S02): Table 'solar.nope' doesn't exist }", TerminalError),
        ("MySqlError { ERROR 1213 (40001): Deadlock found when trying to get lock }", TransientError),
        ("cx writer failed: Source(MySQLError(CodecError { IO error: `bytes remaining on stream' }))", TransientError),
        ("timed out waiting for connection: DriverError { Could not connect to address }", TransientError),
        ("Couldn't convert the value `Date(\"'0000-00-00'\")` to a desired type", TerminalError),
    ],
)
def test_connectorx_errors_are_told_by_their_text(text: str, kind: type[Exception]) -> None:
    assert type(reader_error(RuntimeError(text), SECRETS)) is kind


def test_secrets_are_taken_out() -> None:
    for error in (
        reader_error(RuntimeError(f"cannot parse {SECRETS[0]} with hunter2"), SECRETS),
        server_error(MySQLdb.OperationalError(1045, "denied for hunter2"), SECRETS),
    ):
        assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("closed"),
        NetworkTimeout("slow"),
        NotPrimaryError("stepped down"),
        ServerSelectionTimeoutError("nobody"),
        OperationFailure("shutting down", 11600),
        OperationFailure("busy", 999, {"errorLabels": ["RetryableWriteError"]}),
        BulkWriteError({"writeErrors": [{"code": 112, "errmsg": "conflict"}], "writeConcernErrors": []}),
    ],
)
def test_mongo_errors_that_pass(error: PyMongoError) -> None:
    with pytest.raises(TransientError), translated():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        OperationFailure("Authentication failed.", 18),
        ConfigurationError("no such option"),
        BulkWriteError(
            {"writeErrors": [{"code": 112, "errmsg": "a"}, {"code": 121, "errmsg": "b"}], "writeConcernErrors": []}
        ),
    ],
)
def test_mongo_errors_that_stay(error: PyMongoError) -> None:
    with pytest.raises(TerminalError), translated():
        raise error
