-- What people have not been told yet about versions that were safe and are not.
select n.notice_id, n.recipient as owner, n.title, n.body, d.name as dataset, n.partition
from interlock.recall_notice n join interlock.dataset d on d.dataset_id = n.dataset_id
where n.sent_at is null
order by n.notice_id
