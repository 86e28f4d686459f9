-- Every raw dataset with its table.
select d.name, 'raw_' || d.domain from interlock.dataset d where d.layer = 'raw' order by d.name
