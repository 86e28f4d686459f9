-- Runs that ended well with a phase that did not.
select format('run %s succeeded, and its phase %s is %s', r.run_id, p.phase, p.state)
from interlock.run r join interlock.phase p using (run_id)
where r.state = 'succeeded' and p.phase_id in (select max(x.phase_id) from interlock.phase x group by x.run_id, x.phase)
  and p.state <> 'completed'
union all
select format('run %s is %s and has %s', r.run_id, r.state, coalesce('ended', 'not ended'))
from interlock.run r where (r.state = 'running') <> (r.finished_at is null)
