-- Datasets by name, each with the answer for its window and how many of its partitions are in which state.
select
  d.name as dataset, d.domain, d.layer, d.grain, d.owner, d.criticality, d.contract_version, d.columns, d.on_gate_failure,
  d.window_partitions as window, d.is_increment, d.retired_at is not null as is_retired, s.answer,
  (
    select coalesce(jsonb_object_agg(c.state, c.number), '{}')
    from (
      select interlock.state_of(p, d.retired_at is not null, d.lease_until > k.now, p.partition = any (k.claimed)) as state, count(*) as number
      from interlock.partition p where p.dataset_id = d.dataset_id group by 1
    ) as c
  ) as partitions
from interlock.dataset d
cross join lateral (select interlock.ask(d.name) as answer offset 0) as s
cross join lateral (
  select (s.answer ->> 'as_of')::timestamptz as now, array(
    select case when d.grain = 'all' then 'all' else c.partition end
    from interlock.claim c where c.domain = d.domain and c.expires_at > clock_timestamp()) as claimed
  offset 0) as k
where (%(domains)s::text[] is null or d.domain = any (%(domains)s))
  and (%(datasets)s::text[] is null or d.name = any (%(datasets)s))
  and (%(layers)s::text[] is null or d.layer = any (%(layers)s))
  and (%(states)s::text[] is null or s.answer ->> 'state' = any (%(states)s))
  and (%(after_name)s::text is null or d.name > %(after_name)s)
order by d.name
limit %(limit)s
