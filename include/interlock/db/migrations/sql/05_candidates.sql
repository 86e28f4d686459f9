-- Candidates: built in a workspace of the run's own from pinned inputs, then sealed out of the builder's reach.

-- A schema of the run's own: the only place where the builder may write.
create function interlock.open_workspace(run_id bigint, token bigint) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  workspace text := 'run_' || open_workspace.run_id;
  running interlock.run;
begin
  select * into strict running from interlock.run r where r.run_id = open_workspace.run_id;
  perform interlock.require_claim(running.run_id, token, running.partitions[1]);
  -- Afresh for each layer and each attempt: nothing of an earlier attempt can be built upon.
  perform interlock.close_workspace(running.run_id);
  delete from interlock.pin p where p.run_id = running.run_id;
  execute format('create schema %I', workspace);
  execute format('grant usage, create on schema %I to interlock_builder', workspace);
  execute format('grant usage on schema %I to interlock_gate', workspace);
  return workspace;
end;
$$;

create function interlock.close_workspace(run_id bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  set local client_min_messages = warning;
  -- What a killed process asked for may still be running; whoever clears up after it shall not wait for that.
  set local lock_timeout = '10s';
  execute format('drop schema if exists %I cascade', 'run_' || close_workspace.run_id);
end;
$$;

-- Shows the workspace exactly the given versions of exactly the given partitions of an input, under the name
-- that the models use for it. Only what is safe now may be pinned; no pins make an empty input.
create function interlock.pin_input(run_id bigint, token bigint, dataset text, pins jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  d interlock.dataset;
  workspace text := 'run_' || pin_input.run_id;
  names text;
  loads bigint[];
  versions bigint[];
  days date[];
  unfit record;
begin
  select * into strict d from interlock.dataset where dataset_id = interlock.dataset_id_of(pin_input.dataset);
  perform interlock.require_claim(pin_input.run_id, token, (select r.partitions[1] from interlock.run r where r.run_id = pin_input.run_id));

  select n.partition, n.version, p.version as served, interlock.is_partition_safe(d.dataset_id, n.partition) as safe into unfit
  from jsonb_to_recordset(pins) as n (partition text, version bigint)
  left join interlock.partition p on p.dataset_id = d.dataset_id and p.partition = n.partition
  where p.version is distinct from n.version or not interlock.is_partition_safe(d.dataset_id, n.partition)
  limit 1;
  if found then
    raise exception 'input "%" partition % is not safe in version % (served: %)', dataset, unfit.partition, unfit.version, unfit.served
      using errcode = 'IL006', hint = 'A build reads only what is safe when it is admitted; mend the input first.';
  end if;

  delete from interlock.pin p where p.run_id = pin_input.run_id and p.dataset_id = d.dataset_id;
  insert into interlock.pin (run_id, dataset_id, partition, version)
  select pin_input.run_id, d.dataset_id, n.partition, n.version
  from jsonb_to_recordset(pins) as n (partition text, version bigint);
  select array_agg(distinct n.version), array_agg(interlock.starts_on(n.partition) order by n.partition)
  into versions, days from jsonb_to_recordset(pins) as n (partition text, version bigint);

  names := (select string_agg('t.' || quote_ident(c ->> 'name'), ', ' order by n)
            from jsonb_array_elements(d.columns) with ordinality as i (c, n));
  if d.layer = 'raw' then
    if d.is_increment then
      select array_agg(l.load_id) into loads from interlock.load l
      join jsonb_to_recordset(pins) as n (partition text, version bigint) on n.partition = l.partition
      where l.dataset_id = d.dataset_id and l.state = 'accepted' and l.load_id <= n.version
        and not interlock.is_replaced(l.load_id, n.version);
    else
      loads := versions;
    end if;
    execute format(
      'create or replace view %I.%I as select %s, t._load_id, t._loaded_at, t._source_file, t._row_number,'
      ' l.partition as _partition, l.delivered_on as _delivered_on, l.sequence as _sequence'
      ' from %I.%I t join interlock.load l on l.load_id = t._load_id where t._load_id = any (%L::bigint[])'
      -- What was set aside of a load is settled when it is accepted: where nothing was, nothing needs to be looked up.
      || case when exists (select from interlock.quarantined_row q where q.load_id = any (loads)) then
        ' and not exists (select from interlock.quarantined_row q where q.load_id = t._load_id and q.row_number = t._row_number)'
      else '' end,
      workspace, d.name || '_accepted', names, 'raw_' || d.domain, d.name, coalesce(loads, '{}'));
    execute format('grant select on %I.%I to interlock_builder, interlock_gate', workspace, d.name || '_accepted');
    return;
  end if;

  execute format(
    'create or replace view %I.%I as select %s from %I.%I t where %s', workspace, d.name, names, d.layer, d.name,
    case
      when versions is null then 'false'
      when d.grain = 'all' then format('t._version = %s', versions[1])
      when cardinality(days) = 1 then
        format('t._version = %s and t.%I = %L::date', versions[1], d.partition_column, days[1])
      when cardinality(versions) = 1 then
        format('t._version = %s and t.%I between %L and %L and t.%I = any (%L::date[])', versions[1], d.partition_column,
          days[1], days[cardinality(days)], d.partition_column, days)
      -- Written out, not read from the pins: what a build sees cannot change under it. The range prunes months.
      else format(
        't.%1$I between %2$L and %3$L and (t.%1$I, t._version) in (values %4$s)',
        d.partition_column, days[1], days[cardinality(days)],
        (select string_agg(format('(%L::date, %s::bigint)', interlock.starts_on(n.partition), n.version), ', ' order by n.partition)
         from jsonb_to_recordset(pins) as n (partition text, version bigint)))
    end);
  execute format('grant select on %I.%I to interlock_builder, interlock_gate', workspace, d.name);
end;
$$;

-- Refuses a candidate that is more than columns and rows. What the builder hung on it (a trigger, an index over a
-- function, a policy) would run later with the owner's rights.
create function interlock.require_plain(d interlock.dataset, candidate regclass) returns void
language plpgsql as $$
declare
  differing text;
begin
  if exists (select from pg_trigger t where t.tgrelid = candidate)
    or exists (select from pg_rewrite r where r.ev_class = candidate)
    or exists (select from pg_policy p where p.polrelid = candidate)
    or exists (select from pg_attrdef a where a.adrelid = candidate)
    or exists (select from pg_constraint c where c.conrelid = candidate and c.contype not in ('n', 'p', 'u'))
    or exists (select from pg_index i where i.indrelid = candidate and (i.indexprs is not null or i.indpred is not null))
    or exists (select from pg_statistic_ext x where x.stxrelid = candidate) then
    raise exception 'the candidate of "%" is not plain: it has triggers, rules, policies, defaults, checks or indexes over expressions',
      d.name using errcode = 'IL007', hint = 'Let the model be a table of columns and rows; what must hold belongs in its contract.';
  end if;
  select string_agg(format('%s (contract: %s, built: %s)', coalesce(c.name, b.name), coalesce(c.type, 'no such column'),
    coalesce(b.type, 'missing')), ', ') into differing
  from (
    select a.attname as name, format_type(a.atttypid, a.atttypmod) as type from pg_attribute a
    where a.attrelid = format('%I.%I', d.layer, d.name)::regclass and a.attnum > 0 and not a.attisdropped and a.attname <> '_version'
  ) as c
  full join (
    select a.attname as name, format_type(a.atttypid, a.atttypmod) as type from pg_attribute a
    where a.attrelid = candidate and a.attnum > 0 and not a.attisdropped and a.attname <> '_version'
  ) as b on b.name = c.name
  where c.type is distinct from b.type;
  if differing is not null then
    raise exception 'the candidate of "%" has other columns than its contract: %', d.name, differing using errcode = 'IL007',
      hint = 'Change the model, or the contract: the two must agree in names and types.';
  end if;
end;
$$;

-- Takes a table out of the builder's hands: ownership first, then every right that the builder gave away.
create function interlock.take_table(candidate regclass) returns void
language plpgsql as $$
declare
  grantee text;
begin
  execute format('alter table %s owner to interlock_owner', candidate);
  for grantee in
    select distinct case x.grantee when 0 then 'public' else x.grantee::regrole::text end
    from pg_class c
    left join pg_attribute a on a.attrelid = c.oid
    cross join lateral (select * from aclexplode(c.relacl) union all select * from aclexplode(a.attacl)) as x
    where c.oid = candidate and x.grantee <> 'interlock_owner'::regrole
  loop
    execute format('revoke all on %s from %s', candidate, grantee);
  end loop;
end;
$$;

-- Seals one table of a candidate: version column, the CHECK that lets the attach skip its scan, its own name.
create function interlock.seal_table(d interlock.dataset, candidate regclass, sealed_name text, version bigint, bucket date, days date[])
returns void
language plpgsql as $$
declare
  bounds text := '';
  sealed text := format('versions.%I', sealed_name);
begin
  -- As narrow as its days: it implies the month's bounds, and lets the planner pass over the versions of other days.
  if cardinality(days) = 1 then
    bounds := format(' and %1$I is not null and %1$I = %2$L', d.partition_column, days[1]);
  elsif bucket is not null then
    bounds := format(' and %1$I is not null and %1$I >= %2$L and %1$I <= %3$L', d.partition_column, days[1], days[cardinality(days)]);
  end if;
  if not exists (
    select from pg_attribute a where a.attrelid = candidate and a.attname = '_version' and not a.attisdropped
  ) then
    execute format('alter table %s add column _version bigint not null default %s', candidate, version);
  end if;
  execute format('alter table %s add constraint sealed check (_version is not null and _version = %s%s)', candidate, version, bounds);
  execute format('alter table %s rename to %I', candidate, sealed_name);
  execute format('alter table %s set schema versions', candidate);
  if cardinality(days) > 1 then  -- under its last name: an index is named after its table, and must not meet one of an earlier version
    execute format('create index on %s (%I)', candidate, d.partition_column);
  end if;
  execute format('grant select on %s to interlock_gate', sealed);
  execute format('analyze %s', sealed);
  insert into interlock.version_table (version, table_name, bucket) values (seal_table.version, sealed_name, seal_table.bucket);
end;
$$;

-- Counts a candidate by partition in one pass, and refuses rows that belong to none of the given ones.
create function interlock.count_candidate(d interlock.dataset, candidate regclass, partitions text[], version bigint) returns void
language plpgsql as $$
declare
  stray bigint;
begin
  if d.grain = 'all' then
    execute format('insert into interlock.version_partition select %s, ''all'', count(*) from %s', version, candidate);
    return;
  end if;
  execute format(
    'with counted as (select %1$I as day, count(*) as n from %2$s group by 1),'
    ' wanted as (select p, interlock.starts_on(p) as day from unnest($1) as p),'
    ' kept as ('
    '   insert into interlock.version_partition'
    '   select %3$s, w.p, coalesce(c.n, 0) from wanted w left join counted c on c.day = w.day'
    ' )'
    ' select sum(c.n) from counted c where not exists (select from wanted w where w.day = c.day)',
    d.partition_column, candidate, version) into stray using partitions;
  if stray > 0 then
    raise exception 'the candidate of "%" holds % rows outside partitions % to %', d.name, stray, partitions[1],
      partitions[cardinality(partitions)] using errcode = 'IL007',
      hint = 'The model must give every row the date of its own partition.';
  end if;
end;
$$;

-- The partitions of an input that a partition of its reader is made from, as far as they are served; its own day always.
create function interlock.partitions_read(of_input integer, mapping text, lookback integer, part text) returns setof text
language plpgsql stable as $$
begin
  if mapping <> 'all' then
    return next part;
  end if;
  if mapping = 'window' then
    return query select x.partition from interlock.partition x
    where x.dataset_id = of_input and x.version is not null
      and x.starts_on >= interlock.starts_on(part) - lookback and x.starts_on < interlock.starts_on(part);
  elsif mapping = 'all' then
    return query select x.partition from interlock.partition x where x.dataset_id = of_input and x.version is not null;
  end if;
end;
$$;

-- Records which pinned versions each partition was built from; refuses where one that it reads was not pinned.
create function interlock.record_inputs(d interlock.dataset, run_id bigint, partitions text[], sealed bigint) returns void
language plpgsql as $$
declare
  edge record;
  missing record;
begin
  insert into interlock.input (version, partition, input_id, input_partition, input_version)
  select sealed, p, e.upstream_id, n.partition, n.version
  from interlock.edge e
  join interlock.pin n on n.run_id = record_inputs.run_id and n.dataset_id = e.upstream_id
  join unnest(partitions) as p on n.partition = p
  where e.downstream_id = d.dataset_id and e.mapping = 'same'
  union all
  select sealed, p, e.upstream_id, n.partition, n.version
  from interlock.edge e
  join interlock.pin n on n.run_id = record_inputs.run_id and n.dataset_id = e.upstream_id
  cross join unnest(partitions) as p
  where e.downstream_id = d.dataset_id
    and (e.mapping = 'all'
      or (e.mapping = 'window' and interlock.starts_on(n.partition)
        between interlock.starts_on(p) - e.lookback and interlock.starts_on(p)));

  -- Of a window and of `all`, what exists must have been read; what was never served does not exist yet.
  for edge in
    select e.*, u.name from interlock.edge e join interlock.dataset u on u.dataset_id = e.upstream_id
    where e.downstream_id = d.dataset_id and (e.mapping <> 'all' or e.reopens)
  loop
    select p.partition, wanted.input_partition into missing
    from unnest(partitions) as p (partition)
    cross join lateral interlock.partitions_read(edge.upstream_id, edge.mapping, edge.lookback, p.partition) as wanted (input_partition)
    where not exists (
      select from interlock.input i
      where i.version = sealed and i.partition = p.partition and i.input_id = edge.upstream_id and i.input_partition = wanted.input_partition)
    order by p.partition, wanted.input_partition limit 1;
    if found then
      raise exception 'the candidate of "%" partition % reads "%" partition %, which was not pinned', d.name, missing.partition, edge.name,
        missing.input_partition using errcode = 'IL006', hint = 'Its input is not safe, so it must not be built.';
    end if;
  end loop;
end;
$$;

-- Takes what the run built for a dataset out of the builder's hands and gives it a version id. The candidate must
-- hold rows of the given partitions alone, and every input must have been pinned.
create function interlock.seal(run_id bigint, token bigint, dataset text, partitions text[], code_version text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  d interlock.dataset;
  workspace text := 'run_' || seal.run_id;
  candidate regclass;
  kind "char";
  sealed bigint;
  sealed_name text;
  days date[];
  months date[];
  part record;
begin
  select * into strict d from interlock.dataset where dataset_id = interlock.dataset_id_of(seal.dataset) and layer <> 'raw';
  perform interlock.require_claim(seal.run_id, token, p, d.domain) from unnest(partitions) as p;
  candidate := to_regclass(format('%I.%I', workspace, d.name));
  select c.relkind into kind from pg_class c where c.oid = candidate and not c.relispartition;
  if kind is null or kind not in ('r', 'p') or (kind = 'p' and d.grain = 'all') then
    raise exception 'run % has built no table "%"', seal.run_id, dataset using errcode = 'IL007',
      hint = 'The model must be materialized as a table of the dataset''s name.';
  end if;
  if cardinality(partitions) = 0 or cardinality(partitions) <> (select count(distinct p) from unnest(partitions) p)
    or exists (select from unnest(partitions) p where (p = 'all') <> (d.grain = 'all')) then
    raise exception '% are no partitions of "%"', partitions, dataset using errcode = 'IL007';
  end if;
  if d.grain = 'day' then
    select array_agg(interlock.starts_on(p) order by p) into days from unnest(partitions) p;
    select array_agg(distinct date_trunc('month', x)::date) into months from unnest(days) x;
  end if;
  if kind = 'r' and cardinality(months) > 1 then
    raise exception 'the candidate of "%" spans % months in one table', dataset, cardinality(months) using errcode = 'IL007',
      hint = 'Build a range over several months as a table that is partitioned by month.';
  end if;

  insert into interlock.version (dataset_id, run_id, contract_version, clause_digest, code_version)
  values (d.dataset_id, seal.run_id, d.contract_version, d.clause_digest, seal.code_version) returning version into sealed;
  sealed_name := d.name || '__v' || sealed;
  -- Ownership first: from here on the builder cannot change a row, in this transaction or after it.
  perform interlock.take_table(candidate);
  perform interlock.require_plain(d, candidate);

  if kind = 'r' then
    perform interlock.count_candidate(d, candidate, partitions, sealed);
    perform interlock.seal_table(d, candidate, sealed_name, sealed, months[1], days);
  else
    for part in
      select c.oid::regclass as child, c.relkind, (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(\d{4}-\d\d-\d\d)'))[1]::date as starts
      from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = candidate order by 3
    loop
      if part.relkind <> 'r' or part.starts is null or part.starts <> all (months) then
        raise exception 'the candidate of "%" has a part % that is no month of its partitions', dataset, part.child
          using errcode = 'IL007', hint = 'One plain table a calendar month, for the months of the run alone.';
      end if;
      perform interlock.take_table(part.child);
      perform interlock.require_plain(d, part.child);
    end loop;
    perform interlock.count_candidate(d, candidate, partitions, sealed);
    execute format('alter table %s add column _version bigint not null default %s', candidate, sealed);
    for part in
      select c.oid::regclass as child, (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(\d{4}-\d\d-\d\d)'))[1]::date as starts
      from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = candidate order by 2
    loop
      execute format('alter table %s detach partition %s', candidate, part.child);
      perform interlock.seal_table(d, part.child, sealed_name || to_char(part.starts, '"__"YYYY_MM'), sealed, part.starts,
        (select array_agg(x order by x) from unnest(days) x where date_trunc('month', x) = part.starts));
    end loop;
    execute format('drop table %s', candidate);
    if (select count(*) from interlock.version_table t where t.version = sealed) <> cardinality(months) then
      raise exception 'the candidate of "%" lacks a table for some month of its partitions', dataset using errcode = 'IL007';
    end if;
    execute format('create view versions.%I as %s', sealed_name, (
      select string_agg(format('select * from versions.%I', t.table_name), ' union all ' order by t.bucket)
      from interlock.version_table t where t.version = sealed));
    execute format('grant select on versions.%I to interlock_gate', sealed_name);
  end if;

  update interlock.version v set sealed_at = clock_timestamp(),
    rows = (select sum(p.rows) from interlock.version_partition p where p.version = sealed)
  where v.version = sealed;
  perform interlock.record_inputs(d, seal.run_id, partitions, sealed);

  -- What this run built is an input of what it builds next, and of the gates.
  insert into interlock.pin (run_id, dataset_id, partition, version)
  select seal.run_id, d.dataset_id, p, sealed from unnest(partitions) as p
  on conflict on constraint pin_pkey do update set version = excluded.version;
  execute format('create view %I.%I as select %s from versions.%I', workspace, d.name, interlock.column_list(d.columns, false), sealed_name);
  execute format('grant select on %I.%I to interlock_builder, interlock_gate', workspace, d.name);
  return sealed;
end;
$$;
