-- Candidates that are half there: a version without its seal, a table without a version, a version without its table.
select format('version %s of %s was never sealed', v.version, d.name)
from interlock.version v join interlock.dataset d using (dataset_id)
where v.sealed_at is null and d.layer <> 'raw'
union all
select format('versions.%s belongs to no version', c.relname)
from pg_class c
where c.relnamespace = 'versions'::regnamespace and c.relkind in ('r', 'p')
  and not exists (select from interlock.version_table t where t.table_name = c.relname)
union all
select format('the table %s of version %s is gone', t.table_name, t.version)
from interlock.version_table t where to_regclass(format('versions.%I', t.table_name)) is null
union all
select format('versions.%s is owned by %s', c.relname, c.relowner::regrole)
from pg_class c
where c.relnamespace = 'versions'::regnamespace and c.relkind in ('r', 'p') and c.relowner <> 'interlock_owner'::regrole
