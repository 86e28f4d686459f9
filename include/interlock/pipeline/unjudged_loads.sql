-- The newest load of each partition (each increment, for a feed of increments) that this run brought or found again,
-- unless its verdict stands unharmed.
select d.name, l.partition, l.load_id, v.rows
from (select distinct y.load_id from interlock.delivery y where y.run_id = %(run_id)s) as found
join interlock.load l on l.load_id = found.load_id
join interlock.version v on v.version = l.load_id
join interlock.dataset d on d.dataset_id = l.dataset_id
where (
    l.state in ('loaded', 'rejected')
    -- the good content again, after something worse had come for the partition
    or exists (
      select from interlock.cause c where c.dataset_id = l.dataset_id and c.partition = l.partition and c.cleared_at is null)
  )
  and not exists (
    select from interlock.load later
    where later.dataset_id = l.dataset_id and later.partition = l.partition and later.load_id > l.load_id and later.state <> 'loading'
      and (not d.is_increment or ((later.delivered_on, later.sequence) is not distinct from (l.delivered_on, l.sequence)
        and not (l.delivered_on is null and l.sequence is null))))
order by l.load_id
