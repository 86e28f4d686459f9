-- The loads of a feed's partition, the newest first, with what is served of each.
select l.load_id, l.source_file, l.state, s.load_id is not null as is_served
from interlock.load l
join interlock.dataset d on d.dataset_id = l.dataset_id
left join interlock.served_load s on s.load_id = l.load_id
where d.name = %(dataset)s and l.partition = %(partition)s and l.state <> 'loading'
order by l.load_id desc
