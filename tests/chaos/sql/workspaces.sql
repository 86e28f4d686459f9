-- Schemas of runs, and tables that still belong to whoever builds.
select format('workspace %s is left', n.nspname) from pg_namespace n where n.nspname ~ '^run_\d+$'
union all
select format('%s still belongs to the builder', c.oid::regclass) from pg_class c where c.relowner = 'interlock_builder'::regrole
