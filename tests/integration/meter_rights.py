"""An installation as the pipelines' users see it."""

from __future__ import annotations

import sqlalchemy as sa

from wattline.meters.databases import Databases
from wattline.storage.mysql import MySQLStore
from wattline.storage.schema import grant_mysql

ROLES = ("meters_system", "meters_historical", "meters_energy")


def least_rights(owner_url: str) -> Databases:
    """Stores on one database that stands for all three, each as a user who may do what its role may, and no more."""
    urls = []
    for role in ROLES:
        user = sa.make_url(owner_url).set(username=f"{role}_user", password=f"{role}-password")
        urls.append(user.render_as_string(hide_password=False))
        grant_mysql(owner_url, urls[-1], role)
    return Databases(*map(MySQLStore.from_url, urls))
