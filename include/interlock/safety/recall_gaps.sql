-- When records were dropped, within a time.
select g.recorder, g.first_at, g.last_at, g.count
from interlock.reliance_gap g
where g.last_at >= %(since)s and g.first_at <= %(until)s
order by g.first_at
