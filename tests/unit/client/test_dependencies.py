"""The client needs httpx and pydantic, and nothing else that is installed here."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

DAY = "2013-01-05"

# Runs `python -m interlock.client` where nothing can be imported but the standard library, the package and what its
# base dependencies declare. What they would take along if it were there (httpx: rich, click) is not there either.
ALONE = """
import importlib.abc, importlib.metadata, re, runpy, sys

def declare(name, seen):
    try:
        lines = importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:
        return  # of another Python
    seen.add(name)
    for line in lines:
        needed = re.match(r"[A-Za-z0-9._-]+", line)[0].lower().replace("_", "-")
        if "extra ==" not in line and needed not in seen:
            declare(needed, seen)

names = set()
declare("interlock", names)
allowed = {"interlock"} | set(sys.stdlib_module_names)
for module, distributions in importlib.metadata.packages_distributions().items():
    if names & {found.lower().replace("_", "-") for found in distributions}:
        allowed.add(module)

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed and not name.startswith("_sysconfigdata_"):
            raise ModuleNotFoundError(name, name=name)

for module in [name for name in sys.modules if name.partition(".")[0] not in allowed | {"__main__"}]:
    del sys.modules[module]
sys.meta_path.insert(0, Nothing())
sys.argv = ["client", *sys.argv[1:]]
runpy.run_module("interlock.client", run_name="__main__")
"""


def alone(url: str, *arguments: str) -> tuple[int, str]:
    """The exit code, and what was said."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE, *arguments],
        env={"INTERLOCK_URL": url, "INTERLOCK_TOKEN": "token", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_question_is_asked_with_the_base_dependencies_alone(remote: Any, answer: Any, reply: Any):
    reason = {"code": "gate", "message": "2 keys are doubled.", "clears": "A version that passes."}
    remote.says = [reply(answer())]
    assert alone(remote.url, "fct_orders", DAY) == (0, "fct_orders 2013-01-05 is safe\n")
    remote.says = [reply(answer(state="unsafe", safe=False, reasons=[reason]))]
    code, said = alone(remote.url, "fct_orders", DAY)
    assert (code, "2 keys are doubled." in said) == (3, True)
    assert alone("http://127.0.0.1:9", "fct_orders", DAY)[0] == 5
    assert alone("", "fct_orders", DAY)[0] == 2
