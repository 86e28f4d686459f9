select r.requested_at
from interlock.rebuild r join interlock.dataset d on d.dataset_id = r.dataset_id
where d.name = %(dataset)s and r.partition = %(partition)s and r.done_at is null
