-- What a dead process left in the server: sessions of the pipeline's roles, and advisory locks of anybody.
select format('a session of %s is left (%s since %s): %s', a.usename, a.state, a.state_change, left(a.query, 80))
from pg_stat_activity a
where a.datname = current_database() and a.usename like 'interlock\_%' and a.usename not in ('interlock_consumer')
union all
select format('an advisory lock is held by process %s', l.pid)
from pg_locks l
where l.locktype = 'advisory' and l.database = (select d.oid from pg_database d where d.datname = current_database())
