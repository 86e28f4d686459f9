-- Pointer, verdict, causes, event and table move together or not at all.
select format('%s %s serves version %s: %s', d.name, p.partition, p.version, problem.said)
from interlock.partition p
join interlock.dataset d using (dataset_id)
cross join lateral (
  select 'its verdict is not a passing one on it' as said
  where not exists (
    select from interlock.verdict v
    where v.verdict_id = p.verdict_id and v.version = p.version and v.dataset_id = p.dataset_id and v.partition = p.partition and v.outcome = 'passed')
  union all
  select 'the last published event names another'
  where p.version is distinct from (
    select (e.payload ->> 'version')::bigint from interlock.event e
    where e.dataset_id = p.dataset_id and e.partition = p.partition and e.kind = 'published' order by e.event_id desc limit 1)
  union all
  select 'the causes beside it are miscounted'
  where p.open_causes <> (
    select count(*) from interlock.cause c where c.dataset_id = p.dataset_id and c.partition = p.partition and c.cleared_at is null)
  union all
  select 'its table is not attached'
  where d.layer <> 'raw' and not exists (select from pg_inherits i where i.inhrelid = p.lies_in)
) as problem
where p.version is not null
