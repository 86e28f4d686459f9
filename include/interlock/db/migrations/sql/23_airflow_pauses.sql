-- Which pauses in Airflow are the platform's own: what it paused there it takes back, what a person paused it leaves.

create table interlock.airflow_pause (
  dag_id text primary key,
  noted_at timestamptz not null default clock_timestamp()
);
comment on table interlock.airflow_pause is
  'Airflow''s switch beside the durable pause (interlock.pause), which alone refuses runs. Noted before it is thrown, forgotten after.';

create function interlock.note_airflow_pause(dag_id text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into interlock.airflow_pause (dag_id) values (note_airflow_pause.dag_id) on conflict do nothing;
$$;

create function interlock.forget_airflow_pause(dag_id text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  delete from interlock.airflow_pause p where p.dag_id = forget_airflow_pause.dag_id;
$$;

grant select on interlock.airflow_pause to interlock_operator, interlock_auditor;
grant execute on function interlock.note_airflow_pause, interlock.forget_airflow_pause to interlock_operator;
