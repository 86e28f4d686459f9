-- Increments that came last as they were accepted, and were not withdrawn since: as long as their files are as they were, they
-- need not be read again.
select x.source_file, x.fingerprint
from interlock.last_delivery x
join interlock.dataset d on d.dataset_id = x.dataset_id
where d.name = %(dataset)s and x.partition = %(partition)s
  and x.outcome in ('loaded', 'duplicate') and x.load_state = 'accepted' and x.fingerprint is not null
  and x.load_id not in (select w.load_id from interlock.withdrawn_contents(%(dataset)s, %(partition)s) w)
