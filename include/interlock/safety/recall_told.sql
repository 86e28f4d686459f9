-- Who was told before that this version is not safe any more.
select n.recipient, n.created_at, n.sent_at
from interlock.recall_notice n join interlock.dataset d on d.dataset_id = n.dataset_id
where d.name = %(dataset)s and n.partition = %(partition)s and n.version = %(version)s and n.ended_at = %(ended_at)s
order by n.notice_id
