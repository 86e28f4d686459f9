-- Events of the audit, newest first. One that is about no dataset belongs to those who see every domain; one of an action,
-- to the action's domains.
select t.actor, t.at, t.dataset, t.id, t.kind, t.partition, t.payload, t.position, t.previous, t.run, t.hash
from interlock.audit_trail t
join interlock.event e on e.event_id = t.id
left join interlock.dataset d on d.dataset_id = e.dataset_id
where (%(domains)s::text[] is null or d.domain = any (%(domains)s) or (d.domain is null and exists (
    select from interlock.action a
    where a.action_id = case when jsonb_typeof(e.payload -> 'action') = 'number' then (e.payload ->> 'action')::bigint end
      and a.domains <@ %(domains)s)))
  and (%(datasets)s::text[] is null or d.name = any (%(datasets)s))
  and (%(kinds)s::text[] is null or e.kind = any (%(kinds)s))
  and (%(partitions)s::text[] is null or e.partition = any (%(partitions)s))
  and (%(since)s::timestamptz is null or e.at >= %(since)s)
  and (%(until)s::timestamptz is null or e.at < %(until)s)
  and (%(after_position)s::bigint is null or e.position < %(after_position)s)
order by e.position desc
limit %(limit)s
