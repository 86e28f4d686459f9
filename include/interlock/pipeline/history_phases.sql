-- Every attempt of every phase of a run, in order. One that was started is under way only where it is the newest of a
-- run that is still held. The rows of a build are those of the candidates that were sealed in it.
select
  p.phase,
  case when p.state = 'started' and not (%(is_running)s and p.phase_id = max(p.phase_id) over ()) then 'never_ended'
    else p.state end as state,
  p.started_at, p.finished_at,
  extract(epoch from clock_timestamp() - p.started_at)::float8 as age_seconds,
  extract(epoch from p.finished_at - p.started_at)::float8 as seconds,
  coalesce(p.rows, built.rows) as rows,
  p.failure_class, p.message
from interlock.phase p
left join lateral (
  select sum(v.rows)::bigint as rows
  from interlock.version v join interlock.dataset d on d.dataset_id = v.dataset_id
  where v.run_id = p.run_id and v.sealed_at between p.started_at and coalesce(p.finished_at, 'infinity')
    and d.layer = case p.phase when 'stage' then 'staged' when 'build' then 'curated' end
) built on true
where p.run_id = %(run_id)s
order by p.phase_id
