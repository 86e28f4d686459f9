-- The newest action of a kind on a scope that was executed and not rolled back.
select a.action_id
from interlock.action a
left join interlock.dataset d on d.dataset_id = a.dataset_id
where a.kind = %(kind)s and a.state = 'executed' and d.name is not distinct from %(dataset)s
  and (%(dataset)s::text is not null or a.domains = array[%(domain)s::text])
  and (%(partitions)s::text[] = '{}' or a.partitions && %(partitions)s)
order by a.action_id desc
limit 1
