"""Rows of partitions that are safe, as an Arrow stream; all of what was asked for, or a refusal.

What safety says and what is read are of one snapshot. The answers stand in the schema's metadata (`interlock.answers`),
and the stream ends with a batch without rows whose metadata is the last word: how many rows there were
(`interlock.rows`) and the answers of that moment (`interlock.answers`), so that what was withdrawn while it was on its
way is found out; or the problem that it ended with (`interlock.problem`). A stream without a last word was cut off.

At most 366 partitions at a time, and four readers in each process; one that takes longer than ten minutes is cut. The
memory that it takes does not grow with the rows: they are handed on a megabyte at a time.
"""

from __future__ import annotations

import io
import json
import logging
import threading
from asyncio import timeout
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from interlock.api.problems import Refusing, answers, problem_of
from interlock.api.recording import Recorded
from interlock.api.state import ReadableDataset
from interlock.safety.snapshots import Classified, NotSafe, Snapshot, answers_now, selection

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from interlock.safety.answer import Answer

logger = logging.getLogger(__name__)
router = APIRouter(tags=["rows"])

ARROW_STREAM = "application/vnd.apache.arrow.stream"
MOST_PARTITIONS = 366
READERS = 4
LONGEST_SECONDS = 600
_turns = threading.BoundedSemaphore(READERS)

Partitions = Annotated[
    list[str],
    Query(description="A day as YYYY-MM-DD, or `all`; once for each.", min_length=1, max_length=MOST_PARTITIONS),
]
Columns = Annotated[list[str] | None, Query(description="Only these columns.", max_length=1600)]


class RowStream(StreamingResponse):
    """The rows of an open snapshot, which is closed however the answer ends."""

    media_type = ARROW_STREAM

    def __init__(self, snapshot: Snapshot, request_id: str) -> None:
        super().__init__(_pieces(snapshot, request_id), headers=_headers(snapshot), media_type=ARROW_STREAM)
        self._snapshot = snapshot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them, for as long as a reader may take."""
        try:
            async with timeout(LONGEST_SECONDS):
                await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._snapshot.close)
            _turns.release()


@router.get(
    "/datasets/{dataset}/rows",
    response_class=RowStream,
    status_code=200,
    responses=answers(404, 409) | {200: {"content": {ARROW_STREAM: {}}, "description": "The rows."}},
)
def rows(
    found: ReadableDataset, request: Request, recording: Recorded, partition: Partitions, column: Columns = None
) -> RowStream:
    """The rows of these partitions, if all of them are safe; else 409 with the answers, and no row."""
    if not _turns.acquire(blocking=False):
        raise Refusing(
            429, f"{READERS} readers have their rows sent already.", fix="Ask again.", headers={"Retry-After": "2"}
        )
    try:
        snapshot = Snapshot(selection(found.name, partition, column or ()))
        recording.read(found.name, snapshot.versions)
        return RowStream(snapshot, request.scope["interlock_request_id"])
    except NotSafe as error:
        _turns.release()
        raise Refusing(409, error.message, fix=error.fix, kind="not-safe", errors=_documents(error.answers)) from error
    except Classified as error:
        _turns.release()
        raise Refusing(403, error.message, fix=error.fix, kind="classified") from error
    except BaseException:
        _turns.release()
        raise


def _pieces(snapshot: Snapshot, request_id: str) -> Iterator[bytes]:
    """The stream, as it is sent: the schema, the rows, and the last word."""
    import pyarrow as pa

    schema = snapshot.schema.with_metadata(
        {
            "interlock.answers": json.dumps(_documents(snapshot.answers)),
            "interlock.withheld_columns": json.dumps(snapshot.selection.withheld),
        }
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        yield _taken(sink)
        try:
            for batch in snapshot.batches():
                writer.write_batch(batch.replace_schema_metadata(schema.metadata))
                yield _taken(sink)
            now = answers_now(snapshot.selection)
            last = {"interlock.rows": str(snapshot.rows_read), "interlock.answers": json.dumps(_documents(now))}
        except Exception as error:
            # The status was sent long ago: what went wrong is said where the reader looks last.
            last = {"interlock.problem": problem_of(error, request_id).model_dump_json(exclude_none=True)}
        nothing = pa.record_batch([pa.array([], field.type) for field in schema], schema)
        writer.write_batch(nothing, custom_metadata=last)
    yield _taken(sink)


def _taken(sink: io.BytesIO) -> bytes:
    """What was written since the last time."""
    piece = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return piece


def _headers(snapshot: Snapshot) -> dict[str, str]:
    told = {
        "Cache-Control": "private, no-store",
        "Interlock-Rows": str(snapshot.sealed_rows),
        "Interlock-Versions": ", ".join(f"{partition}={version}" for partition, version in snapshot.versions.items()),
        "Interlock-Withheld-Columns": ", ".join(snapshot.selection.withheld),
    }
    until = min((answer.valid_until for answer in snapshot.answers if answer.valid_until), default=None)
    return told | ({"Interlock-Valid-Until": until.isoformat()} if until else {})


def _documents(given: tuple[Answer, ...]) -> tuple[Any, ...]:
    return tuple(answer.model_dump(mode="json") for answer in given)
