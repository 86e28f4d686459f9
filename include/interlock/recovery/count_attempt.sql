-- Counts an attempt before it is made, so that one that kills its process is counted too.
select interlock.record_rebuild_attempt(rebuild_id)
from interlock.rebuild
where done_at is null and domain = %(domain)s and partition = any (%(partitions)s)
