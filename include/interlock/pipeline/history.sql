-- The newest runs, of one domain or partition or one alone where asked for. Ages are by the server's own clock: a set
-- clock moves freshness and leases, and never how long something has been running.
with chosen as (
  select r.*
  from interlock.run r
  where (%(run_id)s::bigint is null or r.run_id = %(run_id)s)
    and (%(domains)s::text[] is null or r.domain = any (%(domains)s))
    and (%(partitions)s::text[] is null or r.partitions && %(partitions)s)
    and (coalesce(%(partition_from)s::text, %(partition_to)s) is null or exists (
      select from unnest(r.partitions) as p
      where p <> 'all' and p between coalesce(%(partition_from)s, '0001-01-01') and coalesce(%(partition_to)s, '9999-12-31')))
    and (%(kinds)s::text[] is null or r.trigger = any (%(kinds)s))
    and (%(since)s::timestamptz is null or r.started_at >= %(since)s)
    and (%(until)s::timestamptz is null or r.started_at < %(until)s)
    and (%(states)s::text[] is null or case
      when r.state <> 'running' then r.state
      when exists (select from interlock.claim c where c.run_id = r.run_id and interlock.is_held(c)) then 'running'
      else 'never_ended' end = any (%(states)s))
    and (%(after_id)s::bigint is null or r.run_id < %(after_id)s)
  order by r.run_id desc
  limit %(limit)s
)
select
  r.run_id, r.run_key, r.domain, r.partitions, r.trigger, r.actor,
  case when r.state <> 'running' then r.state when held.until is null then 'never_ended' else 'running' end as state,
  r.started_at, r.finished_at, held.until as held_until, held.by_process as is_held_by_process,
  extract(epoch from clock_timestamp() - r.started_at)::float8 as age_seconds,
  extract(epoch from r.finished_at - r.started_at)::float8 as seconds,
  loaded.rows as rows_loaded, newest.phase as last_phase, broken.phase as failed_phase, broken.failure_class,
  broken.message as failure_message, r.message
from chosen r
left join lateral (
  select max(c.expires_at) as until, bool_and(c.backend_pid is not null) as by_process
  from interlock.claim c where c.run_id = r.run_id and interlock.is_held(c)
) held on true
left join lateral (
  select p.phase from interlock.phase p where p.run_id = r.run_id order by p.phase_id desc limit 1
) newest on true
left join lateral (
  select p.rows from interlock.phase p where p.run_id = r.run_id and p.phase = 'load' and p.rows is not null
  order by p.phase_id desc limit 1
) loaded on true
left join lateral (
  -- The first phase whose last attempt failed: what went wrong after it mostly follows from it.
  select a.phase, a.failure_class, a.message
  from (
    select distinct on (p.phase) p.phase, p.state, p.failure_class, p.message, p.phase_id
    from interlock.phase p where p.run_id = r.run_id order by p.phase, p.phase_id desc
  ) a
  where a.state = 'failed' order by a.phase_id limit 1
) broken on true
order by r.run_id desc
