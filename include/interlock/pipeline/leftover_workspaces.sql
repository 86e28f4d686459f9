-- Workspaces that nobody will come back to: of an earlier run of these partitions, or of one that was silent for a day.
select r.run_id
from pg_namespace n
join interlock.run r on n.nspname = 'run_' || r.run_id
join interlock.run own on own.run_id = %(run_id)s
where r.run_id <> own.run_id
  and not exists (select from interlock.claim c where c.run_id = r.run_id and interlock.is_held(c))
  and ((r.domain = own.domain and r.partitions && own.partitions)
    or not exists (select from interlock.phase p where p.run_id = r.run_id and p.started_at > now() - interval '1 day'))
