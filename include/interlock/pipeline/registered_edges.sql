-- The lineage as the database knows it.
select u.name, d.name, e.mapping, e.lookback, e.reopens
from interlock.edge e
join interlock.dataset u on u.dataset_id = e.upstream_id
join interlock.dataset d on d.dataset_id = e.downstream_id
