"""The tab of a DAG that shows how its migrations stand.

Airflow does not protect what a plugin mounts: every page asks for a user who may see the DAG.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from wattline.alerts.oncall import last_line
from wattline.api.migrations_page import migrations_page, sentence_page
from wattline.migrate.status import statuses
from wattline.solar.migrations import ENTRIES
from wattline_operators.base import open_documents

MONGO_CONN_ID = "solar_mongo"
_POLICY = "default-src 'none'; style-src 'nonce-{0}'; script-src 'nonce-{0}'; frame-ancestors 'self'"
log = logging.getLogger(__name__)

app = FastAPI(title="Wattline's pages", openapi_url=None)


@app.get("/migrations/{dag_id}", dependencies=[Depends(requires_access_dag("GET"))])
def migrations(dag_id: str) -> HTMLResponse:
    """The table of `wattline migrate status` for one DAG; one sentence where it moves nothing, or nothing is known."""
    now, nonce = datetime.now(UTC), secrets.token_urlsafe()
    if dag_id not in ENTRIES:
        return _answer(sentence_page("This DAG moves no table from MySQL to MongoDB.", now, nonce), nonce)
    try:
        with open_documents(MONGO_CONN_ID) as database:
            found = statuses(database, {dag_id: ENTRIES[dag_id]}, now)
    except Exception as error:  # whoever looks should read why, whatever it is
        log.exception("How the migrations of %s stand cannot be read", dag_id)
        return _answer(sentence_page(f"MongoDB cannot be read: {last_line(str(error))}", now, nonce), nonce, 503)
    return _answer(migrations_page(found, now, nonce), nonce)


def _answer(page: str, nonce: str, status: int = 200) -> HTMLResponse:
    headers: Mapping[str, str] = {"Content-Security-Policy": _POLICY.format(nonce), "Cache-Control": "no-store"}
    return HTMLResponse(page, status, headers)
