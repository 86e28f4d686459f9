-- Logins that may read these datasets in `safe`, and may so have read them while they were safe; the superusers, who may read
-- everything, are left out. Of the consumers that were made or dropped here it is known when they were there.
with made as (
  select e.payload ->> 'consumer' as login, e.at as since, e.kind,
    lead(e.at) over (partition by e.payload ->> 'consumer' order by e.position) as until
  from interlock.event e where e.kind in ('consumer_created', 'consumer_dropped')
),
there as (
  select r.rolname::text as login, d.name as dataset, false as is_gone
  from pg_roles r
  join interlock.dataset d on d.name = any (%(datasets)s)
  where r.rolcanlogin and not r.rolsuper
    and has_table_privilege(r.oid, to_regclass(format('safe.%%I', d.name)), 'select')
    and has_schema_privilege(r.oid, 'safe', 'usage')
    and not exists (
      select from made m where m.login = r.rolname and m.kind = 'consumer_created' and m.until is null and m.since >= %(until)s)
  union
  select m.login, d.name, true
  from made m join interlock.dataset d on d.name = any (%(datasets)s) and d.layer <> 'raw'
  where m.kind = 'consumer_created' and m.since < %(until)s and m.until > %(since)s
    and not exists (select from pg_roles r where r.rolname = m.login)
)
select t.login, bool_or(t.is_gone) as is_gone, t.login like 'interlock\_%%' as is_shared, array_agg(t.dataset order by t.dataset) as datasets
from there t
group by t.login
order by 3, 1
