-- When which version of the partition stood, oldest first, and what ended that.
select s.version, s.since, s.until, s.ended_by
from interlock.dataset d cross join lateral interlock.stood(d.dataset_id, %(partition)s) as s
where d.name = %(dataset)s
order by s.since
