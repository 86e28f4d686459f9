"""Consumers by name: logins of the database server that may do what a consumer may, and nothing else.

What is read as the shared `interlock_consumer` is read by nobody in particular. A waiver is for one named consumer, so
whoever is to hold one has a login of its own: made here, or by the server's administrator in their own way. Those made
here carry a remark, and only those are dropped here. A password is printed once and kept nowhere.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect, database_url
from interlock.db.failures import translated
from interlock.errors import PermanentFailure, UsageError

if TYPE_CHECKING:
    from interlock.db.connection import Connection

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
REMARK = "A consumer of Interlock, made by `interlock consumer create`."


class Consumer(BaseModel):
    """One login: whether it was made here, and how many waivers it holds in this warehouse."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    is_ours: bool
    waivers: int


def create(name: str, by: str) -> str:
    """Make a consumer; returns the URL that it connects with, password included, which cannot be had again.

    Raises UsageError for a name that may not be, or is taken.
    """
    import psycopg

    if NAME.fullmatch(name) is None or name.startswith("interlock_"):
        raise UsageError(
            f"{name!r} is no name for a consumer.",
            fix="Use up to 40 small letters, digits and _, a letter first, and not interlock_.",
        )
    password = secrets.token_urlsafe(32)
    with translated(), connect(Role.ADMIN) as connection:
        hashed = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        try:
            _execute(connection, "create role {} login password {}", name, hashed)
        except psycopg.errors.DuplicateObject as error:
            raise UsageError(f"There is a login {name!r} already.", fix="Choose another name, or drop it.") from error
        _execute(connection, "grant interlock_consumer to {}", name)
        _execute(connection, "comment on role {} is {}", name, REMARK)
        _record(connection, "consumer_created", name, by)
        database = connection.info.dbname
    return database_url(database, user=name, password=password)


def consumers() -> list[Consumer]:
    """Every consumer with a login of its own, by name."""
    with translated(), connect(Role.OPERATOR) as connection:
        rows = connection.execute("select name, remark, waivers from interlock.consumer_login order by name").fetchall()
    return [Consumer(name=name, is_ours=remark == REMARK, waivers=waivers) for name, remark, waivers in rows]


def drop(name: str, by: str) -> None:
    """Take a consumer's login away.

    Raises UsageError where none of that name was made here, PermanentFailure while a waiver names it or other
    databases still know it.
    """
    import psycopg

    with translated(), connect(Role.ADMIN) as connection:
        # Waivers are granted under the same lock: none comes between the look and the drop.
        connection.execute("select interlock.decide_alone()")
        found = connection.execute(
            "select remark, waivers from interlock.consumer_login where name = %s", [name]
        ).fetchone()
        if found is None or found[0] != REMARK:
            raise UsageError(
                f"No consumer {name!r} was made here.", fix="`interlock consumer list` shows those that were."
            )
        if found[1]:
            raise PermanentFailure(
                f"{name} holds {found[1]} {'waiver' if found[1] == 1 else 'waivers'}: another login of that name "
                "would inherit it.",
                fix="Revoke it first, or wait until it runs out: `interlock action list` shows it.",
            )
        try:
            _execute(connection, "drop role {}", name)
        except psycopg.errors.DependentObjectsStillExist as error:
            raise PermanentFailure(
                f"{name} owns something in a database, or was given rights of its own.",
                fix=f"`drop owned by {name}` in each such database, then drop it again.",
            ) from error
        _record(connection, "consumer_dropped", name, by)


def _record(connection: Connection, kind: str, name: str, by: str) -> None:
    from psycopg.types.json import Jsonb

    connection.execute(
        "insert into interlock.event (kind, actor, payload) values (%s, %s, %s)", [kind, by, Jsonb({"consumer": name})]
    )


def _execute(connection: Connection, text: Any, role: str, *literals: str) -> None:
    from psycopg import sql

    connection.execute(sql.SQL(text).format(sql.Identifier(role), *map(sql.Literal, literals)))
