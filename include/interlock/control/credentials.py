"""Who acts: people, each under one name, by a token of theirs or by their login in Airflow.

At the command line and over the API a person shows a token; in Airflow they are logged in already, and what is said
here is whose login that is. Either way the actor has the same name, so that nobody approves by one door what they
proposed by another. A token is 32 random bytes and is kept as their SHA-256: a slow hash protects what people think
up, and nobody guesses these. The secret itself never reaches the database; there, too, it is decided whether a
credential is live.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from interlock.control.questions import Actor, ActorKind, Right
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.errors import UsageError
from interlock.settings import settings

if TYPE_CHECKING:
    from interlock.db.connection import Connection

EVERY_DOMAIN = "*"
LONGEST = timedelta(days=366)
TOKEN = re.compile(r"ilk_(?P<id>[1-9]\d{0,9})_(?P<secret>[0-9a-f]{64})")
PERSON = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")
LOGIN = re.compile(r"[^\x00-\x1f\x7f]{1,250}")


class State(StrEnum):
    """Whether a credential still holds, by real time."""

    LIVE = "live"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Form(StrEnum):
    """By which door a person comes."""

    TOKEN = "token"  # noqa: S105  (the word, and no secret)
    AIRFLOW = "airflow"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grant(_Record):
    """What a person is given: rights, where they hold (`*` is every domain, and the platform itself), and for how long.

    With `airflow_login` it is for their login in Airflow, without for a token.
    """

    person: str
    scopes: tuple[Right, ...]
    domains: tuple[str, ...]
    lasts: timedelta
    airflow_login: str | None = None
    note: str | None = None


class Credential(_Record):
    """A credential as everybody may see it: without the secret, and without its hash."""

    credential_id: int
    person: str
    form: Form
    airflow_login: str | None
    scopes: tuple[Right, ...]
    domains: tuple[str, ...]
    note: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None
    revoked_because: str | None
    last_used_at: datetime | None
    state: State

    @property
    def actor(self) -> Actor:
        """Its holder, with the rights that it gives."""
        return Actor(
            kind=ActorKind.PERSON, name=self.person, on_behalf_of=None, domains=self.domains, rights=self.scopes
        )


def create(grant: Grant, by: str) -> tuple[Credential, str | None]:
    """Give a person a credential; with it the token, which nobody can be shown again (None for a login in Airflow).

    Raises UsageError with all that is wrong with the grant, and Refused where the login is somebody's already.
    """
    person = grant.person.strip().lower()
    _require_sensible(grant, person)
    secret = secrets.token_hex(32) if grant.airflow_login is None else None
    values = [
        person,
        _hash(secret) if secret else None,
        grant.airflow_login,
        [right.value for right in Right if right in grant.scopes],
        [EVERY_DOMAIN] if EVERY_DOMAIN in grant.domains else sorted(set(grant.domains)),
        (grant.note or "").strip() or None,
        grant.lasts,
        by,
    ]
    with translated(), connect(Role.OPERATOR) as connection:
        row = connection.execute(
            "select interlock.create_credential(%s, %s, %s, %s, %s, %s, %s, %s)", values
        ).fetchone()
        made = _one(connection, row[0] if row else 0)
    return made, f"ilk_{made.credential_id}_{secret}" if secret else None


def revoke(credential_id: int, reason: str, by: str) -> Credential:
    """End a credential now. One that was revoked before stays as it was."""
    if not reason.strip():
        raise UsageError("The reason is empty.", fix="Say in a sentence why: its holder will ask.")
    with translated(), connect(Role.OPERATOR) as connection:
        connection.execute("select interlock.revoke_credential(%s, %s, %s)", [credential_id, reason.strip(), by])
        return _one(connection, credential_id)


def listed(*, is_all: bool = False) -> list[Credential]:
    """What is live, newest last; with `is_all` also what expired or was revoked."""
    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        found = _select(connection, "order by c.credential_id")
    return [credential for credential in found if is_all or credential.state is State.LIVE]


def authenticate(token: str) -> Actor:
    """Who holds the token. Raises UsageError where it is none, and Refused where it is unknown, expired or revoked."""
    return by_token(token).actor


def by_token(token: str) -> Credential:
    """The credential that a token is, live. Raises as `authenticate`."""
    parts = TOKEN.fullmatch(token.strip())
    if parts is None:
        raise UsageError(
            "What was given is no token: one is `ilk_`, a number, `_`, and 64 of the digits 0-9 and a-f.",
            fix="Give all of it (at the command line in INTERLOCK_TOKEN), as `interlock token create` printed it.",
        )
    credential = _authenticated("authenticate_token", _hash(parts["secret"]))
    if str(credential.credential_id) != parts["id"]:
        raise UsageError("What was given is no token: its number is not that of its secret.", fix="Copy it again.")
    return credential


def from_environment() -> Actor:
    """Who holds the token in INTERLOCK_TOKEN. Raises UsageError where there is none, else as `authenticate`."""
    token = settings().token
    if token is None:
        raise UsageError(
            "Nobody says who acts: INTERLOCK_TOKEN is not set.",
            fix="Set it to your token. Whoever administers the platform makes one: "
            "interlock token create --for NAME --scope propose --scope approve --domain DOMAIN",
        )
    return authenticate(token.get_secret_value())


def of_airflow(login: str) -> Actor:
    """Whose login in Airflow this is. Raises Refused where it is nobody's who may act now; the fix is a command."""
    return by_airflow_login(login).actor


def by_airflow_login(login: str) -> Credential:
    """The credential behind a login in Airflow, live. Raises as `of_airflow`."""
    return _authenticated("authenticate_airflow", login)


def enrol_laptop(login: str) -> Credential | None:
    """Make the login in Airflow that of whoever runs the platform on this machine, with all rights, for a year.

    Under the operating system's name for them, which is the one to make tokens for too. None where nothing was made:
    the login has a credential, or had one that was revoked, which `interlock up` must not give back.
    """
    import getpass

    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        last = _select(connection, "where c.airflow_login = %s order by c.credential_id desc limit 1", login)
    if last and last[0].state is not State.EXPIRED:
        return None
    user = re.sub(r"[^a-z0-9._@+-]+", "-", getpass.getuser().lower()).lstrip("-._@+")[:100]
    grant = Grant(
        person=user or login,
        scopes=tuple(Right),
        domains=(EVERY_DOMAIN,),
        lasts=timedelta(days=365),
        airflow_login=login,
        note="Who runs the platform on this machine.",
    )
    return create(grant, by="interlock up")[0]


def _require_sensible(grant: Grant, person: str) -> None:
    problems = list(_problems(grant, person))
    if problems:
        told, fixes = zip(*problems, strict=True)
        raise UsageError("\n".join(told), fix=" ".join(fixes))


def _problems(grant: Grant, person: str) -> Iterator[tuple[str, str]]:
    if not PERSON.fullmatch(person):
        fix = "Use letters, digits and . _ @ + -, such as ada or ada@example.com."
        yield f"{grant.person!r} cannot be the name of a person here.", fix
    if not grant.scopes:
        yield "No scope is given, so nothing would be allowed.", f"Name some of: {', '.join(Right)}."
    if not grant.domains:
        yield "No domain is given, so nothing would be allowed.", "Name some, or `*` for all of them."
    if not timedelta(0) < grant.lasts <= LONGEST:
        yield f"It cannot last {grant.lasts}.", "Let it last for at most a year."
    if grant.airflow_login is not None and not LOGIN.fullmatch(grant.airflow_login):
        yield f"{grant.airflow_login!r} can be no login in Airflow.", "Give the user name that they log in with."
    if grant.airflow_login == settings().airflow_user:
        yield (
            f"{grant.airflow_login} is the platform's own login in Airflow: a run would pass for a person.",
            "Name theirs.",
        )


def _authenticated(function: str, shown: bytes | str) -> Credential:
    with translated(), connect(Role.CONTROLLER, autocommit=True) as connection:
        query = f"select {_columns()} from interlock.{function}(%s) as c"  # noqa: S608  (both are ours)
        return _read(connection.execute(query.encode(), [shown]).fetchall())[0]


def _one(connection: Connection, credential_id: int) -> Credential:
    return _select(connection, "where c.credential_id = %s", credential_id)[0]


def _select(connection: Connection, rest: str, *values: object) -> list[Credential]:
    query = f"select {_columns()} from interlock.credentials c {rest}"  # noqa: S608  (both are ours)
    return _read(connection.execute(query.encode(), values).fetchall())


def _read(rows: Sequence[tuple[Any, ...]]) -> list[Credential]:
    return [Credential(**dict(zip(Credential.model_fields, row, strict=True))) for row in rows]


def _columns() -> str:
    return ", ".join(f"c.{name}" for name in Credential.model_fields)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
