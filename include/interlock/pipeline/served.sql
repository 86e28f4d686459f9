-- What is served of the given datasets, for the run's partitions and for those since a day of theirs that a reader
-- looks back on; and what stands against using it, where that began.
select
  d.name, p.partition, p.version,
  r.version is not null as is_safe,
  coalesce(v.clause_digest = d.clause_digest, false) as is_judged_by_active_clauses,
  built.code_version,
  coalesce(c.message, case when p.withdrawn_at is not null then 'its served version was withdrawn' else 'its lease ran out' end) as problem,
  coalesce(c.dataset, d.name) as began_in, coalesce(c.partition, p.partition) as began_at,
  p.version is null and c.message is null as is_missing,
  p.version is not null and r.version is null and c.message is null and p.withdrawn_at is null as is_lapsed,
  exists (
    select from interlock.claim k
    where k.domain = d.domain and k.partition = p.partition and k.run_id <> %(run_id)s and interlock.is_held(k)) as is_awaited
from unnest(%(datasets)s::text[], %(since)s::date[]) as wanted (name, since)
join interlock.dataset d on d.name = wanted.name
join interlock.partition p on p.dataset_id = d.dataset_id
  and (p.partition = any (%(partitions)s) or p.starts_on >= wanted.since)
left join interlock.readable_partition r on r.dataset_id = p.dataset_id and r.partition = p.partition
left join interlock.verdict v on v.verdict_id = p.verdict_id
left join interlock.version built on built.version = p.version
left join lateral (
  select
    case when root.cleared_at is null then root.message else 'it waits to be rebuilt' end as message,
    case when root.cleared_at is null then u.name else d.name end as dataset,
    case when root.cleared_at is null then root.partition else p.partition end as partition
  from interlock.cause x
  join interlock.cause root on root.cause_id = coalesce(x.origin_id, x.cause_id)
  join interlock.dataset u on u.dataset_id = root.dataset_id
  where x.dataset_id = p.dataset_id and x.partition = p.partition and x.cleared_at is null
  order by root.cleared_at is not null, cardinality(x.path), x.cause_id limit 1
) as c on p.open_causes > 0
