"""Where the embedded server lives, and as whom it runs.

PostgreSQL refuses to run as root, so root runs it as a system user of its own. That user must reach
the data and the programs, and the easy way (open every folder above them to everybody, as the wheel's
own launcher does) would make `/root` readable. Here nothing that exists is opened up: where the state
folder cannot be reached, the data, and if need be a copy of the programs, go to a folder beside it
that belongs to that user alone.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.errors import PermanentFailure

SYSTEM_USER = "pgserver"
# In order: kept over restarts and never swept; then kept over restarts; then whatever there is.
ELSEWHERE = (Path("/var/lib/interlock"), Path("/var/tmp"), Path(tempfile.gettempdir()))  # noqa: S108
CLEAN_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Runner:
    """The system user that owns the data and runs the server; `None` fields mean the present user."""

    uid: int | None = None
    gid: int | None = None

    def run(self, *command: str | Path, cwd: Path = Path("/")) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as this user, with a clean environment and no terminal."""
        return subprocess.run(  # noqa: S603
            [str(part) for part in command],
            cwd=cwd,
            env=CLEAN_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **self.as_user(),
        )

    def as_user(self) -> dict[str, Any]:
        """The keyword arguments that make `subprocess` run a program as this user."""
        arguments: dict[str, Any] = {"umask": 0o077}
        if self.uid is not None:
            arguments |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return arguments

    def give(self, path: Path) -> None:
        """Make a folder or file this user's own, and nobody else's."""
        path.chmod(0o700 if path.is_dir() else 0o600)
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, folder: Path) -> bool:
        """Whether this user reaches the folder through everything above it."""
        return self.uid is None or self.run("/bin/sh", "-c", 'cd "$0"', folder).returncode == 0

    def can_run(self, program: Path) -> bool:
        """Whether this user reaches a program and everything that it loads."""
        if self.uid is None:
            return True
        try:
            return self.run(program, "--version").returncode == 0
        except OSError:
            return False


def runner(data: Path | None) -> Runner:
    """Whoever runs the server: the present user, or for root the data's owner or a system user, made if missing."""
    if os.geteuid() != 0:
        return Runner()
    if data is not None and (data / "PG_VERSION").exists():
        owner = data.stat()
        if owner.st_uid != 0:
            return Runner(owner.st_uid, owner.st_gid)
    entry = _system_user()
    return Runner(entry.pw_uid, entry.pw_gid)


def _system_user() -> pwd.struct_passwd:
    creations = (
        ("useradd", "--system", "--no-create-home", "--shell", "/bin/sh", SYSTEM_USER),
        ("adduser", "-S", "-D", "-H", SYSTEM_USER),
    )
    for creation in (None, *creations):
        if creation is not None:
            program = shutil.which(creation[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
            if program is None:
                continue
            subprocess.run([program, *creation[1:]], capture_output=True, check=False)  # noqa: S603
        try:
            return pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            continue
    raise PermanentFailure(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be created.",
        fix=f"Create it (useradd --system {SYSTEM_USER}), run as an ordinary user, or set INTERLOCK_DATABASE_URL.",
    )


def open_state(state: Path, who: Runner) -> None:
    """Make the state folder: its owner's alone, save that a system user may pass through it (not list it)."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        if state.stat().st_uid == os.geteuid():
            if who.uid is not None and who.gid is not None:
                os.chown(state, -1, who.gid)
                state.chmod(0o710)
            else:
                state.chmod(0o700)
    except OSError as error:
        raise PermanentFailure(
            f"The state folder {state} cannot be made: {error.strerror}.",
            fix="Make it writable for you, or name another in INTERLOCK_STATE_DIR.",
        ) from error
    if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        raise PermanentFailure(
            f"The state folder {state} belongs to {_name_of(state.stat().st_uid)} and cannot be written.",
            fix="Run as that user, remove the folder, or name another in INTERLOCK_STATE_DIR.",
        )


def new_home(state: Path, who: Runner) -> Path:
    """A folder for the server's data that its user reaches: in the state folder, or else outside of it."""
    home = state / "postgres"
    if who.can_enter(state):
        home.mkdir(mode=0o700, exist_ok=True)
        who.give(home)
        return home
    key = hashlib.sha256(str(state).encode()).hexdigest()[:12]
    for base in ELSEWHERE:
        try:
            base.mkdir(mode=0o755, exist_ok=True)
            # A name nobody can foresee: in a shared folder a stranger could have taken a predictable one.
            home = Path(tempfile.mkdtemp(prefix=f"interlock-{key}-", dir=base))
        except OSError:
            continue
        who.give(home)
        if who.can_enter(home):
            return home
        home.rmdir()
    raise PermanentFailure(
        f"No folder was found that the system user {SYSTEM_USER} can reach.",
        fix="Move the checkout out of a closed folder, or set INTERLOCK_STATE_DIR to one that others may enter.",
    )


def reachable_programs(programs: Path, home: Path, who: Runner) -> Path:
    """The folder with the server's programs: the wheel's own, or a copy beside the data where that is out of reach."""
    if who.can_run(programs / "postgres"):
        return programs
    copy = home / "programs"
    # The programs find their libraries by the wheel's own layout, relative to themselves.
    installation, package = programs.parent, programs.parent.parent
    inner = copy / package.name / installation.name
    made = copy / "made-from"
    if not made.exists() or made.read_text() != str(programs):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(installation, inner, ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig"))
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, copy / libraries.name)
        for folder in (copy, copy / package.name):
            folder.chmod(0o755)
        made.write_text(str(programs))
    return inner / "bin"


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
