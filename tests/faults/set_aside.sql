-- How many rows of each day's flights or observations are set aside, and the clauses that they do not meet.
select
  q.partition,
  count(distinct q.load_id || ':' || q.row_number) as set_aside,
  array_agg(distinct q.dataset || ': ' || r.reason) as clauses
from interlock.row_quarantine as q
cross join lateral unnest(q.reasons) as r (reason)
where q.state = 'held'
group by q.partition
