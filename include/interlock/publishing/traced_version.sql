-- The served version of a partition, and which version of its input it was built from.
select p.version, i.input_version
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
left join interlock.dataset u on u.name = %(input)s
left join interlock.input i on i.version = p.version and i.partition = p.partition and i.input_id = u.dataset_id
where d.name = %(dataset)s and p.partition = %(partition)s and p.version is not null
