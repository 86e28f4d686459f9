-- Two runs of one partition at the same time: a phase of one that began between the first and the last of the other.
select format('phase %%s of run %%s began inside run %%s', p.phase, p.run_id, other.run_id)
from interlock.phase p
join interlock.run r on r.run_id = p.run_id and r.state <> 'refused'
join (
  select x.run_id, y.domain, y.partitions, y.run_key, min(x.started_at) as began, max(x.started_at) as ended
  from interlock.phase x join interlock.run y using (run_id)
  where x.phase <> 'admit' and y.state <> 'refused' group by x.run_id, y.domain, y.partitions, y.run_key
) as other on other.domain = r.domain and other.partitions && r.partitions and other.run_key <> r.run_key
where p.phase <> 'admit' and p.run_id > %(since)s and p.started_at > other.began and p.started_at < other.ended and not (p.run_id = any (%(woken)s) or other.run_id = any (%(woken)s))
