-- Counts an attempt before it is made, so that one that kills its process is counted too. What is paused is not tried.
select interlock.record_rebuild_attempt(r.rebuild_id)
from interlock.rebuild r
join interlock.dataset d on d.dataset_id = r.dataset_id
where r.done_at is null and r.domain = %(domain)s and r.partition = any (%(partitions)s) and not interlock.stands_still(d)
