-- What owners have not been told yet, with the fact that each episode began with, and the action where it was one.
select n.notice_id, n.owner, n.kind, d.name as dataset, n.partition, c.path,
  coalesce(o.cause_id, c.cause_id) as root_id, r.name as root_dataset, coalesce(o.partition, c.partition) as root_partition,
  coalesce(o.code, c.code) as code, coalesce(o.message, c.message) as message, coalesce(o.clears, c.clears) as clears,
  case when coalesce(o.code, c.code) = 'quarantined' then (coalesce(o.evidence, c.evidence) ->> 'action')::bigint end as begun_by
from interlock.notice n
join interlock.dataset d on d.dataset_id = n.dataset_id
join interlock.cause c on c.cause_id = n.cause_id
left join interlock.cause o on o.cause_id = c.origin_id
join interlock.dataset r on r.dataset_id = coalesce(o.dataset_id, c.dataset_id)
where n.sent_at is null
order by n.notice_id
