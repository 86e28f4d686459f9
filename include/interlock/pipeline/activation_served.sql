-- What is served of a dataset, with every accepted load of an increment: its rows are all served together.
select p.partition, p.version, coalesce(
  (
    select array_agg(l.load_id order by l.load_id)
    from interlock.load l
    where d.is_increment and l.dataset_id = d.dataset_id and l.partition = p.partition
      and l.state = 'accepted' and l.load_id <= p.version and not interlock.is_replaced(l.load_id, p.version)
  ),
  array[p.version]
) as versions
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
where d.name = %s and p.version is not null
order by p.partition
