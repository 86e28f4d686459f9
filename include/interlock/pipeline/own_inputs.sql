-- What the candidates of a run were built from, as far as the same run built it in the same layer.
select d.name, i.partition, u.name, i.input_partition
from interlock.version v
join interlock.dataset d on d.dataset_id = v.dataset_id
join interlock.input i on i.version = v.version
join interlock.version own on own.version = i.input_version and own.run_id = v.run_id
join interlock.dataset u on u.dataset_id = i.input_id and u.layer = d.layer
where v.run_id = %(run_id)s and d.layer = %(layer)s
