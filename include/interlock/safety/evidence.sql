-- The verdicts behind a partition's state: of the findings that are open on it or on where they began, of a held
-- candidate, and of what is served. Of each verdict, what did not succeed.
with asked as (
  select d.dataset_id, p.partition, p.version, p.verdict_id
  from interlock.dataset d join interlock.partition p on p.dataset_id = d.dataset_id
  where d.name = %(dataset)s and p.partition = %(partition)s
),
wanted as (
  select (coalesce(o.evidence, c.evidence) ->> 'verdict_id')::bigint as verdict_id, cardinality(c.path) as distance
  from asked a
  join interlock.cause c on c.dataset_id = a.dataset_id and c.partition = a.partition and c.cleared_at is null
  left join interlock.cause o on o.cause_id = c.origin_id
  union all
  (
    select v.verdict_id, 1000 from asked a
    join interlock.verdict v on v.dataset_id = a.dataset_id and v.partition = a.partition and v.outcome = 'failed' and v.version > a.version
    order by v.version desc limit 1
  )
  union all
  select a.verdict_id, 2000 from asked a
)
select jsonb_build_object(
  'verdict_id', v.verdict_id, 'dataset', d.name, 'domain', d.domain, 'partition', v.partition, 'version', v.version, 'outcome', v.outcome,
  'contract_version', v.contract_version, 'judged_at', v.judged_at,
  'findings', coalesce((
    select jsonb_agg(e order by e ->> 'severity', e ->> 'clause') from jsonb_array_elements(v.evidence) e
    where e -> 'success' is distinct from 'true'
      -- rows that were set aside are no plain success
      or (e ->> 'severity' = 'quarantine' and (e ->> 'unexpected_count')::bigint > 0)), '[]'))
from (select w.verdict_id, min(w.distance) as distance from wanted w where w.verdict_id is not null group by 1) as w
join interlock.verdict v on v.verdict_id = w.verdict_id
join interlock.dataset d on d.dataset_id = v.dataset_id
order by w.distance, v.verdict_id desc
