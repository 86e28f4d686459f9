-- Files that a run has taken up, whatever became of them; what waits for its gate is not through yet.
select distinct y.source_file, y.fingerprint
from interlock.delivery y
join interlock.dataset d on d.dataset_id = y.dataset_id
left join interlock.load l on l.load_id = y.load_id
where d.name = %(dataset)s and y.partition = any (%(partitions)s)
  and y.fingerprint is not null and (l.load_id is null or l.state in ('accepted', 'rejected'))
