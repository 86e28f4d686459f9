-- What recent safe partitions of a dataset measured. Only what readers may see now is history; of a dataset that is one
-- partition that is the version served, unless it is the very one that is judged.
select p.partition, m.name, m.value
from interlock.readable_partition as p
inner join interlock.dataset as d on p.dataset_id = d.dataset_id
inner join interlock.measure as m on p.version = m.version and p.partition = m.partition
where
    d.name = %(dataset)s
    and m.name = any(%(names)s)
    and m.value is not null
    and p.version <> all(%(judged)s)
    and (p.partition = 'all' or p.starts_on between %(first)s and %(last)s)
