"""The usual stack's load: a process that copies one day's file into a table."""

import os
from pathlib import Path

import psycopg

with psycopg.connect(os.environ["BENCH_ADMIN_URL"]) as connection, Path(os.environ["BENCH_FILE"]).open("rb") as stream:
    stream.readline()
    connection.execute("create table if not exists public.usual_flights (like raw_flight_operations.flights)")
    columns = connection.execute(
        "select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute"
        " where attrelid = 'public.usual_flights'::regclass and attnum > 0 and left(attname, 1) <> '_'"
    ).fetchone()[0]
    connection.execute(
        "alter table public.usual_flights alter _load_id drop not null, alter _source_file drop not null"
    )
    connection.execute(
        "alter table public.usual_flights alter _loaded_at drop not null, alter _row_number drop not null"
    )
    with connection.cursor().copy(f"copy public.usual_flights ({columns}) from stdin (format csv)".encode()) as copy:
        while chunk := stream.read(1 << 20):
            copy.write(chunk)
