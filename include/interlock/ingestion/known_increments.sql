-- Increments that were accepted: as long as their files are as they were, they need not be read again.
select l.source_file, l.fingerprint
from interlock.load l
join interlock.dataset d on d.dataset_id = l.dataset_id
where d.name = %(dataset)s and l.partition = %(partition)s and l.state = 'accepted'
