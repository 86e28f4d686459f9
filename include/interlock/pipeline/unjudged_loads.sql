-- The newest load of each partition that this run brought or found again, unless its verdict stands unharmed.
select d.name, l.partition, l.load_id, v.rows
from (
  select distinct on (x.dataset_id, x.partition, case when s.is_increment then x.load_id end) x.*
  from interlock.load x join interlock.dataset s on s.dataset_id = x.dataset_id
  order by x.dataset_id, x.partition, case when s.is_increment then x.load_id end, x.load_id desc
) as l
join interlock.dataset d on d.dataset_id = l.dataset_id
join interlock.version v on v.version = l.load_id
join interlock.run r on r.run_id = %(run_id)s
where d.domain = r.domain
  and (
    l.state in ('loaded', 'rejected')
    -- the good content again, after something worse had come for the partition
    or exists (
      select from interlock.cause c where c.dataset_id = l.dataset_id and c.partition = l.partition and c.cleared_at is null)
  )
  and (l.partition = 'all' or l.partition = any (r.partitions))
  and exists (select from interlock.delivery y where y.run_id = r.run_id and y.load_id = l.load_id)
order by l.load_id
