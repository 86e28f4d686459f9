-- Of each dataset in use: whether it is safe as a whole, its partitions by state, how fresh and how complete it is.
with used as materialized (
  select d.*, coalesce(d.lease_until > interlock.now(), false) as is_leased,
    exists (select from interlock.claim c where c.domain = d.domain and c.expires_at > clock_timestamp()) as is_running,
    (select max(p.starts_on) from interlock.partition p where p.dataset_id = d.dataset_id) as newest
  from interlock.dataset d
  where d.retired_at is null and (%(domains)s::text[] is null or d.domain = any (%(domains)s))
),
counted as (
  select c.dataset_id, jsonb_object_agg(c.state, c.number) as states
  from (
    select p.dataset_id, interlock.state_of(p, false, u.is_leased, c.run_id is not null or (p.partition = 'all' and u.is_running)) as state,
      count(*) as number
    from used u
    join interlock.partition p on p.dataset_id = u.dataset_id
    left join interlock.claim c on c.domain = u.domain and c.partition = p.partition and c.expires_at > clock_timestamp()
    group by 1, 2
  ) as c
  group by c.dataset_id
)
select
  u.name as dataset, u.domain, u.layer, u.owner, u.criticality, u.contract_version,
  a.answer ->> 'state' as state, (a.answer ->> 'safe')::boolean as safe, coalesce(n.states, '{}') as states,
  (a.answer #>> '{freshness,lag_seconds}')::double precision as lag_seconds,
  extract(epoch from u.freshness)::double precision as sla_seconds,
  extract(epoch from u.lease_until - interlock.now())::double precision as lease_seconds,
  extract(epoch from clock_timestamp() - (
    select v.judged_at from interlock.verdict v where v.dataset_id = u.dataset_id order by v.verdict_id desc limit 1))::double precision
    as verdict_age_seconds,
  -- Of the window that the contract names, or of the one partition there is.
  (
    select count(*)::double precision / case u.grain when 'day' then u.window_partitions else 1 end
    from interlock.readable_partition r
    where r.dataset_id = u.dataset_id and (u.grain = 'all' or r.starts_on > u.newest - u.window_partitions)
  ) as completeness_ratio,
  s.rows[1] as rows, s.rows[1]::double precision / nullif(s.rows[2], 0) - 1 as row_delta_ratio
from used u
left join counted n using (dataset_id)
cross join lateral (select interlock.ask(u.name) as answer) as a
cross join lateral (
  select array(
    select v.rows
    from interlock.readable_partition r
    join interlock.version_partition v on v.version = r.version and v.partition = r.partition
    where r.dataset_id = u.dataset_id
    order by r.starts_on desc limit 2) as rows
) as s
order by u.name
