-- Of some claimed facts, the references of those that are findings on record, just as they are claimed.
select c.ref
from jsonb_to_recordset(%(facts)s) as c (kind text, ref text, root text, dataset text, partition text, version bigint, count bigint, at bigint)
join interlock.finding f on c.ref = 'finding:' || f.finding_id
join interlock.dataset d on d.dataset_id = f.dataset_id
where (f.kind, f.root, d.name, f.count) = (c.kind, c.root, c.dataset, c.count)
  and floor(extract(epoch from f.reported_at)) = c.at
  and f.partition is not distinct from c.partition and f.version is not distinct from c.version
