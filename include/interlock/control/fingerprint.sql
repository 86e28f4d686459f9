-- All that an action and its inverse together leave as it was, besides the rows: part by part, each in one spelling.
select 'the answer for ' || s.dataset || ' ' || s.partition as part,
  jsonb_build_array(s.state, s.version, s.verdict_id, s.reasons)::text as content
from interlock.safety s
union all
select s.what || ' ' || coalesce(s.dataset, s.domain), s.reason
from interlock.standstill s
union all
select 'the waiver of ' || d.name || ' ' || w.partition || ' for ' || w.consumer || ' by action ' || w.action_id, w.version::text
from interlock.waived_partition w
join interlock.dataset d on d.dataset_id = w.dataset_id
union all
select 'the active policy', p.revision
from interlock.active_policy p
union all
select 'the rights on schema ' || n.nspname,
  jsonb_build_array(n.nspowner::regrole, array(select right_of::text from unnest(n.nspacl) as right_of order by 1))::text
from pg_namespace n
where n.nspname in ('safe', 'waived', 'staged', 'curated', 'versions', 'interlock')
union all
select 'the rights on ' || c.oid::regclass,
  jsonb_build_array(
    c.relowner::regrole, c.relrowsecurity, c.relforcerowsecurity,
    array(select right_of::text from unnest(c.relacl) as right_of order by 1),
    array(
      select a.attname || ' ' || right_of from pg_attribute a, unnest(a.attacl) as right_of where a.attrelid = c.oid order by 1),
    array(
      select l.polname || ' ' || l.polcmd::text || ' ' || l.polpermissive || ' ' || l.polroles::regrole[]::text || ' '
        || coalesce(pg_get_expr(l.polqual, l.polrelid), '')
      from pg_policy l where l.polrelid = c.oid order by 1))::text
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('safe', 'waived', 'staged', 'curated', 'versions', 'interlock') and c.relkind in ('r', 'p', 'v', 'm', 'S')
union all
select 'the rights on function ' || p.oid::regprocedure,
  jsonb_build_array(
    p.proowner::regrole, p.prosecdef, array(select right_of::text from unnest(p.proacl) as right_of order by 1))::text
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
where n.nspname = 'interlock'
