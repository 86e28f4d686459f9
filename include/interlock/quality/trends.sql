-- What the served and the newest judged version of each partition measured, in the days asked for or the newest there are.
with chosen as (
  select d.dataset_id, p.partition, p.starts_on, p.version as served, p.published_at
  from interlock.dataset d
  join interlock.partition p on p.dataset_id = d.dataset_id
  where d.name = %(dataset)s
    and (%(first)s::date is null or p.starts_on >= %(first)s)
    and (%(last)s::date is null or p.starts_on <= %(last)s)
  order by p.starts_on desc
  limit case when %(first)s::date is null then %(days)s else %(most)s end
),
judged as (
  select distinct on (c.partition, v.version) c.partition, c.starts_on, c.published_at, v.version, v.outcome, c.served,
    (
      select array_agg(e ->> 'clause') from jsonb_array_elements(v.evidence) as e where e -> 'success' is distinct from 'true'
    ) as failed_clauses
  from chosen c
  join interlock.verdict v on v.dataset_id = c.dataset_id and v.partition = c.partition
    and (v.version = c.served or v.version = (
      select max(w.version) from interlock.verdict w where w.dataset_id = c.dataset_id and w.partition = c.partition))
  order by c.partition, v.version, v.verdict_id desc
)
select m.name, j.partition, m.value, j.version, j.outcome, j.version is not distinct from j.served as is_served, j.failed_clauses
from judged j
join interlock.measure m on m.version = j.version and m.partition = j.partition
union all
-- How long after its end each day was served, by the platform's clock as it is set now.
select 'freshness_lag', j.partition, extract(epoch from j.published_at + (interlock.now() - now()) - (j.starts_on + 1)::timestamptz)::float8,
  j.version, j.outcome, true, null
from judged j
where j.version = j.served and j.starts_on is not null
order by 1, 2, 4
