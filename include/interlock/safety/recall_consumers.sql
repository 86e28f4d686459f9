-- The registered consumers and the metrics that stand on these datasets (null: on any), of these domains (null: of any).
select x.kind, x.name, x.owner, x.contact, array_agg(d.name order by d.name) as datasets
from interlock.dependent x
join interlock.dataset d on d.dataset_id = any (x.dataset_ids)
where (%(datasets)s::text[] is null or d.name = any (%(datasets)s))
  and (%(domains)s::text[] is null or d.domain = any (%(domains)s))
group by x.kind, x.name, x.owner, x.contact
order by x.kind, x.name collate "C"
