-- Wishes of a replay for partitions of this run.
select d.name, p.partition
from interlock.run r
join interlock.replay p on p.partition = any (r.partitions) or p.partition = 'all'
join interlock.dataset d on d.dataset_id = p.dataset_id and d.domain = r.domain
where r.run_id = %(run_id)s and p.done_at is null
order by p.replay_id
