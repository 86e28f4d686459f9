"""The process that evaluates Rego: `python -m interlock.control.rego_child`, with requests as JSON lines on its input.

rego-cpp runs inside the process that calls it: some modules crash the interpreter, an evaluation cannot be interrupted,
and its errors go to standard output. So it lives here, with a limit on its memory, an alarm that ends it should its
parent no longer be there to, and standard output kept away from the answers.

Requests and answers:

    {"modules": {name: text}, "data": {}, "entrypoint": "a/b", "memory": bytes}
        ->  {"ready": true}, {"problems": [...]} or {"error": "..."}
    {"id": 1, "input": {}, "seconds": 2.0}
        ->  {"id": 1, "text": what the engine printed} or {"id": 1, "error": "..."}
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import IO, Any

# The parent kills at its deadline; the alarm is for a child whose parent is gone.
GRACE_SECONDS = 5.0
START_SECONDS = 60.0
ERROR = re.compile(r"\(error \d+:(?P<name>.*?)\|(?P<offset>\d+)\|\d+\s+\(errormsg \d+:(?P<said>[^\n]*?)\)", re.DOTALL)


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the system ends us, whatever native code is running
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    first = sys.stdin.readline()
    if not first:
        return
    bundle = json.loads(first)
    signal.setitimer(signal.ITIMER_REAL, START_SECONDS)
    try:
        _limit(bundle["memory"])
        problems, evaluate = _compiled(bundle)
    except Exception as error:
        _say(answers, {"error": f"{type(error).__name__}: {error}"})
        return
    signal.setitimer(signal.ITIMER_REAL, 0)
    _say(answers, {"problems": problems} if problems else {"ready": True})
    for line in sys.stdin if not problems else ():
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, request["seconds"] + GRACE_SECONDS)
        try:
            answer = {"text": evaluate(request["input"])}
        except Exception as error:  # whatever it is, the parent is to hear of it
            answer = {"error": f"{type(error).__name__}: {error}"}
        signal.setitimer(signal.ITIMER_REAL, 0)
        _say(answers, {"id": request["id"], **answer})


def _limit(memory: int) -> None:
    """Allow so much more memory than now: the engine's allocator reserves 256 GB of addresses, and uses few."""
    import resource

    import regopy

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    regopy.Interpreter()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return  # macOS: no such limit; the deadline stands alone
    most = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _compiled(bundle: dict[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    """The problems of the modules, or a function from an input to what the engine prints.

    Compiled once: a query against the interpreter compiles all modules anew and takes ten times as long.
    """
    import regopy

    problems = [problem for name, text in bundle["modules"].items() for problem in _parsed(name, text)]
    if problems:
        return problems, None
    interpreter = regopy.Interpreter()
    interpreter.strict_built_in_errors = True
    for name, text in bundle["modules"].items():
        interpreter.add_module(name, text)
    interpreter.add_data(bundle["data"])
    compiled = interpreter.build(None, [bundle["entrypoint"]])
    if not compiled.ok():
        return [{"file": "-", "line": 1, "found": "the modules do not compile together"}], None

    def evaluate(document: dict[str, Any]) -> str:
        interpreter.set_input(document)
        try:
            output = interpreter.query_bundle_entrypoint(compiled, bundle["entrypoint"])
        except ValueError as error:
            raise RuntimeError("the evaluation failed, or its result is no JSON") from error
        if not output.ok():
            raise RuntimeError(str(output)[:500])
        return str(output)

    return [], evaluate


def _parsed(name: str, text: str) -> list[dict[str, Any]]:
    """The syntax errors of one module."""
    import regopy

    try:
        regopy.Interpreter().add_module(name, text)
    except regopy.RegoError as error:
        found = [
            {"file": name, "line": text.encode()[: int(at["offset"])].count(b"\n") + 1, "found": at["said"].strip()}
            for at in ERROR.finditer(str(error))
        ]
        return found or [{"file": name, "line": 1, "found": str(error).strip()[:500]}]
    return []


def _say(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
