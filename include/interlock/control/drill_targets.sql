-- Safe partitions that a drill may act on, the newest first, and of one day the dataset with the most downstream (the least,
-- where `narrow`): with rows, neither paused nor frozen, and not waiting to be rebuilt.
with recursive reached as (
  select e.upstream_id as dataset_id, e.downstream_id from interlock.edge e
  union
  select r.dataset_id, e.downstream_id from reached r join interlock.edge e on e.upstream_id = r.downstream_id
),

width as (
  select r.dataset_id, count(*) as datasets from reached r group by r.dataset_id
)

select d.domain, d.name as dataset, d.dataset_id, d.partition_column, p.partition, p.version
from interlock.safety s
join interlock.dataset d on d.name = s.dataset
join interlock.partition p on p.dataset_id = d.dataset_id and p.partition = s.partition
left join width w on w.dataset_id = d.dataset_id
where s.state = 'safe' and d.layer <> 'raw' and d.retired_at is null
  and exists (
    select from interlock.version_partition v where v.version = p.version and v.partition = p.partition and v.rows > 0)
  and not exists (
    select from interlock.standstill x where x.domain in (d.domain, '*') and coalesce(x.dataset, d.name) = d.name)
  and not exists (
    select from interlock.rebuild b where b.dataset_id = d.dataset_id and b.partition = p.partition and b.done_at is null)
order by p.starts_on desc nulls last,
  case when %(narrow)s then coalesce(w.datasets, 0) end, coalesce(w.datasets, 0) desc, d.name
limit 50
