-- The versions of one partition, newest first: what each is made of, what its gate said, and whether anybody reads it.
with asked as (
  select d.dataset_id, d.is_increment, p.version as served, p.withdrawn_version
  from interlock.dataset d
  left join interlock.partition p on p.dataset_id = d.dataset_id and p.partition = %(partition)s
  where d.name = %(dataset)s
)
select
  v.version, x.outcome, c.rows, v.contract_version, v.run_id, l.source_file, v.created_at as built_at, e.at as published_at,
  coalesce(v.version = a.withdrawn_version, false) as is_withdrawn, v.condemned_at is not null as is_pruned, x.verdict_id,
  a.withdrawn_version is distinct from v.version and case
    when a.is_increment then exists (select from interlock.served_load s where s.load_id = v.version)
    else v.version is not distinct from a.served
  end as is_served,
  x.outcome is not distinct from 'failed' and v.version > coalesce(a.served, 0) as is_held,
  (
    select coalesce(jsonb_agg(jsonb_build_object('dataset', u.name, 'partition', i.input_partition, 'version', i.input_version)
      order by u.name, i.input_partition), '[]')
    from interlock.input i join interlock.dataset u on u.dataset_id = i.input_id
    where i.version = v.version and i.partition = %(partition)s
  ) as inputs
from asked a
join interlock.version v on v.dataset_id = a.dataset_id and v.sealed_at is not null
join interlock.version_partition c on c.version = v.version and c.partition = %(partition)s
left join interlock.load l on l.load_id = v.version
left join lateral (
  select w.outcome, w.verdict_id from interlock.verdict w
  where w.version = v.version and w.partition = %(partition)s order by w.verdict_id desc limit 1
) as x on true
left join lateral (
  select max(w.at) as at from interlock.event w
  where w.dataset_id = a.dataset_id and w.partition = %(partition)s and w.kind = 'published' and (w.payload ->> 'version')::bigint = v.version
) as e on true
order by v.version desc
limit %(limit)s
