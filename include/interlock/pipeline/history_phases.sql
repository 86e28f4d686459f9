-- Every attempt of every phase of a run, in order. One that was started is under way only where it is the newest of a
-- run that is still held.
select
  p.phase,
  case when p.state = 'started' and not (%(is_running)s and p.phase_id = max(p.phase_id) over ()) then 'never_ended'
    else p.state end as state,
  p.started_at, p.finished_at,
  extract(epoch from clock_timestamp() - p.started_at)::float8 as age_seconds,
  extract(epoch from p.finished_at - p.started_at)::float8 as seconds,
  coalesce(p.rows, interlock.rows_of(p)) as rows,
  p.failure_class, p.message
from interlock.phase p
where p.run_id = %(run_id)s
order by p.phase_id
