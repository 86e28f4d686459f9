-- The automatic actions that may count against another one, and whether each touches all that the other is about: while it
-- is open, and once it is executed as long as it holds.
select
  a.action_id::text as id, a.kind, a.state, a.domains, (
    select e.fact ->> 'root' from interlock.action_evidence e where e.action_id = a.action_id order by e.attached_at, e.ref limit 1
  ) as root,
  a.actor ->> 'kind' as proposed_by,
  (select count(*) from interlock.action_answer n where n.action_id = a.action_id and n.answer = 'approve') as approvals,
  a.kind = %(kind)s and (a.state <> 'executed' or holds.now) and case
    when cardinality(%(partitions)s::text[]) > 0 then
      coalesce(a.radius -> 'touches' -> %(dataset)s, '[]') @> to_jsonb(%(partitions)s::text[])
      and (a.dataset_id is distinct from d.dataset_id or a.version is not distinct from %(version)s)
    else a.domains @> %(domains)s and (a.dataset_id is null or a.dataset_id = d.dataset_id)
  end as covers_this,
  floor(extract(epoch from a.proposed_at))::bigint as at
from interlock.action a
left join interlock.dataset d on d.name = %(dataset)s
cross join lateral (
  select case
    when a.kind = 'quarantine_partition' then not exists (
      select from unnest(a.partitions) as part where not exists (
        select from interlock.partition p
        where p.dataset_id = a.dataset_id and p.partition = part and p.withdrawn_version = a.version))
    when a.kind = 'pause_pipeline' then exists (
      select from interlock.pause p where p.action_id = a.action_id and p.resumed_at is null)
    when a.kind = 'rerun_partition' then exists (
      select from interlock.rebuild b where b.action_id = a.action_id and b.done_at is null)
    else false
  end as now
) as holds
where a.proposed_at > clock_timestamp() - make_interval(mins => %(minutes)s)
  and a.action_id <> %(action_id)s
  and a.actor ->> 'kind' <> 'person'
  and a.state not in ('rejected', 'expired', 'invalidated')
order by a.action_id
