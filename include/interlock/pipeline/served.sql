-- What is served of each partition of the given datasets, and what stands against using it.
select
  d.name, p.partition, p.version,
  r.version is not null as is_safe,
  coalesce(v.clause_digest = d.clause_digest, false) as is_judged_by_active_clauses,
  built.code_version,
  coalesce(c.message, case when p.withdrawn_at is not null then 'it was withdrawn' else 'its lease ran out' end) as problem,
  p.version is null and c.message is null as is_missing
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
left join interlock.readable_partition r on r.dataset_id = p.dataset_id and r.partition = p.partition
left join interlock.verdict v on v.verdict_id = p.verdict_id
left join interlock.version built on built.version = p.version
left join lateral (
  select x.message from interlock.cause x
  where x.dataset_id = p.dataset_id and x.partition = p.partition and x.cleared_at is null
  order by cardinality(x.path), x.cause_id limit 1
) as c on true
where d.name = any (%(datasets)s)
