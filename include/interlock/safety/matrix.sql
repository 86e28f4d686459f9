-- How many partitions of each dataset are in which state: day by day in the newest days, and the days before as one. What
-- was retired is out of use, and left out.
with used as (
  select s.* from interlock.safety s
  where s.domain = coalesce(%(domain)s, s.domain) and s.reasons -> 0 ->> 'code' is distinct from 'retired'
),
newest as (
  select max(s.partition) as day from used s where s.partition <> 'all'
),
shown as (
  select s.*, s.partition = 'all' or s.partition > to_char(n.day::date - %(days)s::integer, 'YYYY-MM-DD') as is_shown
  from used s cross join newest n
)
select
  domain, layer, dataset, case when is_shown then partition end as partition, state, count(*),
  (array_agg(reasons -> 0 ->> 'message' order by partition desc))[1] as reason,
  min(partition) as first, max(partition) as last, bool_or(jsonb_array_length(coalesce(reasons -> 0 -> 'path', '[]')) <= 1) as is_root,
  max(as_of) as as_of, max(clock_offset_seconds) as clock_offset_seconds
from shown
group by domain, layer, dataset, case when is_shown then partition end, state
order by domain, array_position(array['raw', 'staged', 'curated'], layer), dataset, 4
