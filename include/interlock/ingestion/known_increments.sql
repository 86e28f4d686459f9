-- Increments that were accepted and need not be read again, as long as nothing is open on the dataset.
select l.source_file, l.fingerprint
from interlock.load l
join interlock.dataset d on d.dataset_id = l.dataset_id
where d.name = %(dataset)s and l.partition = %(partition)s and l.state = 'accepted'
  and not exists (
    select from interlock.cause c where c.dataset_id = l.dataset_id and c.partition = l.partition and c.cleared_at is null)
