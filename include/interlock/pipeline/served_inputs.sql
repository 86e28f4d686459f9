-- What the served versions of the given partitions were built from.
select d.name, i.partition, u.name, i.input_partition, i.input_version
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
join interlock.input i on i.version = p.version and i.partition = p.partition
join interlock.dataset u on u.dataset_id = i.input_id
where d.name = any (%(datasets)s) and p.partition = any (%(partitions)s)
