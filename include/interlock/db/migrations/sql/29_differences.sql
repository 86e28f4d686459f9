-- Differences: how two versions of one partition differ, in counts. With the owner's rights, because nobody else may look at
-- versions that are not served; and nothing but counts leaves, however they are asked for.

-- Where the rows of one partition of a version lie, as a query. Refused where they are gone, or never were.
create function interlock.rows_of_version(d interlock.dataset, of_partition text, of_version bigint) returns text
language plpgsql stable as $$
declare
  v interlock.version;
  lies_in text;
begin
  select x.* into v from interlock.version x
  join interlock.version_partition p on p.version = x.version and p.partition = of_partition
  where x.version = of_version and x.dataset_id = d.dataset_id and x.sealed_at is not null;
  if not found then
    raise exception '"%" partition % has no version %', d.name, of_partition, of_version using errcode = 'IL002',
      hint = 'Its versions are listed beside it.';
  end if;
  if v.condemned_at is not null then
    raise exception 'the rows of version % of "%" were pruned', of_version, d.name using errcode = 'IL017',
      hint = 'What is known about it stays; its rows can no longer be compared.';
  end if;
  if d.layer = 'raw' then
    return format('select * from %I.%I where _load_id = %s', 'raw_' || d.domain, d.name, of_version);
  end if;
  select t.table_name into strict lies_in from interlock.version_table t
  where t.version = of_version and (t.bucket is null or t.bucket = date_trunc('month', interlock.starts_on(of_partition))::date);
  return format('select * from versions.%I', lies_in)
    || case when d.grain = 'day' then format(' where %I = %L::date', d.partition_column, interlock.starts_on(of_partition)) else '' end;
end;
$$;

-- Rows are matched by the key; several of one key by their number, in the order of what they say. Without a key rows are
-- matched by all that they say, and then none is called changed. Values are compared as text: every type has one.
create function interlock.difference(dataset text, partition text, from_version bigint, to_version bigint, key text[]) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset;
  names text[];
  numbered text;
  matched text;
  counted text;
  found jsonb;
begin
  select * into strict d from interlock.dataset x where x.dataset_id = interlock.dataset_id_of(difference.dataset);
  names := array(select c ->> 'name' from jsonb_array_elements(d.columns) with ordinality as i (c, n) order by n);
  if not key <@ names then
    raise exception 'the key of "%" has columns that it has not', d.name using errcode = 'IL002';
  end if;
  matched := 'as r cross join lateral (select array[' || (
    select string_agg(format('r.%I::text', k), ', ') from unnest(case when key = '{}' then names else key end) as k) || ']::text as key) as k';
  numbered := 'select r.*, k.key, true as is_there, row_number() over (partition by k.key order by ' || (
    select string_agg(format('r.%I::text', n), ', ') from unnest(names) as n) || ') as nth from ';
  counted := (
    select string_agg(format(
      'jsonb_build_object(''name'', %1$L::text, ''changed'', count(*) filter (where a.is_there and b.is_there'
      ' and a.%2$I::text is distinct from b.%2$I::text), ''null_from'', count(*) filter (where a.is_there and a.%2$I is null),'
      ' ''null_to'', count(*) filter (where b.is_there and b.%2$I is null))', n, n), ', ') from unnest(names) as n);
  execute 'select jsonb_build_object(''rows'', jsonb_build_object(''from'', count(a.is_there), ''to'', count(b.is_there)),'
    ' ''only_in_from'', count(*) filter (where b.is_there is null), ''only_in_to'', count(*) filter (where a.is_there is null),'
    ' ''changed'', count(*) filter (where a.is_there and b.is_there and ('
    || (select string_agg(format('a.%1$I::text is distinct from b.%1$I::text', n), ' or ') from unnest(names) as n)
    || ')), ''columns'', to_jsonb(array[' || counted || ']))'
    || ' from (' || numbered || '(' || interlock.rows_of_version(d, difference.partition, from_version) || ') ' || matched || ') as a'
    || ' full join (' || numbered || '(' || interlock.rows_of_version(d, difference.partition, to_version) || ') ' || matched || ') as b'
    || ' on a.key = b.key and a.nth = b.nth'
  into found;
  return found;
end;
$$;

grant execute on function interlock.difference to interlock_auditor;
