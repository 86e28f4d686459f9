-- Everything else that is counted, as rows of (metric, labels, value); a metric without a row has none of what it counts.
select 'root_causes' as metric, jsonb_build_object('dataset', d.name, 'domain', d.domain, 'code', c.code) as labels, count(*)::double precision as value
from interlock.cause c join interlock.dataset d on d.dataset_id = c.dataset_id
where c.cleared_at is null and cardinality(c.path) <= 1 and (%(domains)s::text[] is null or d.domain = any (%(domains)s))
group by d.name, d.domain, c.code
union all
select 'quarantined_rows', jsonb_build_object('dataset', q.dataset, 'domain', q.domain), count(*)
from interlock.row_quarantine q
where q.state = 'held' and (%(domains)s::text[] is null or q.domain = any (%(domains)s))
group by q.dataset, q.domain
union all
select 'actions', jsonb_build_object('kind', a.kind, 'state', a.state), count(*)
from interlock.action a
where %(domains)s::text[] is null or a.domains && %(domains)s
group by a.kind, a.state
union all
select 'oldest_open_action_age_seconds', jsonb_build_object('state', a.state), extract(epoch from clock_timestamp() - min(a.proposed_at))
from interlock.action a
where a.state in ('proposed', 'approved') and (%(domains)s::text[] is null or a.domains && %(domains)s)
group by a.state
union all
select 'rebuilds_waiting', jsonb_build_object('domain', r.domain, 'exhausted', (r.attempts >= %(max_attempts)s)::text), count(distinct r.partition)
from interlock.rebuild r
where r.done_at is null and (%(domains)s::text[] is null or r.domain = any (%(domains)s))
group by 2
union all
select 'standstills', jsonb_build_object('domain', s.domain, 'what', s.what), count(*)
from interlock.standstill s
where %(domains)s::text[] is null or s.domain = any (%(domains)s::text[] || '*'::text)
group by s.domain, s.what
union all
-- The newest attempt of each phase that ended: what it took.
select 'phase_duration_seconds', jsonb_build_object('domain', x.domain, 'phase', x.phase, 'state', x.state), x.seconds
from (
  select distinct on (r.domain, h.phase) r.domain, h.phase, h.state, extract(epoch from h.finished_at - h.started_at) as seconds
  from interlock.run r join interlock.phase h on h.run_id = r.run_id
  where h.finished_at is not null and r.run_id > (select coalesce(max(run_id), 0) - 1000 from interlock.run)
    and (%(domains)s::text[] is null or r.domain = any (%(domains)s))
  order by r.domain, h.phase, h.phase_id desc
) as x
union all
select 'last_success_timestamp_seconds', jsonb_build_object('domain', r.domain), extract(epoch from max(r.finished_at))
from interlock.run r
where r.state = 'succeeded' and (%(domains)s::text[] is null or r.domain = any (%(domains)s))
group by r.domain
union all
select 'audit_events', '{}', h.position from interlock.audit_head h
union all
select 'clock_offset_seconds', '{}', coalesce((select extract(epoch from k.offset_from_real) from interlock.clock k), 0)
