-- Versions: what was loaded or built, from what, and whether it is sealed. One id space for loads and builds.

create sequence interlock.version_id;

create table interlock.version (
  version bigint primary key default nextval('interlock.version_id'),
  dataset_id integer not null references interlock.dataset,
  run_id bigint not null references interlock.run,
  contract_version text not null,
  clause_digest text not null,
  code_version text,
  rows bigint,
  created_at timestamptz not null default clock_timestamp(),
  sealed_at timestamptz,
  unique (version, dataset_id)
);
create index on interlock.version (run_id);

create table interlock.version_partition (
  version bigint not null references interlock.version,
  partition text not null,
  rows bigint not null,
  primary key (version, partition)
);

create table interlock.version_table (
  version bigint not null references interlock.version,
  table_name text not null,
  bucket date,
  attached_at timestamptz,
  primary key (version, table_name)
);
comment on table interlock.version_table is 'Where a version lies, in schema `versions`; bucket is the first day of its month.';

create table interlock.input (
  version bigint not null references interlock.version,
  partition text not null,
  input_id integer not null references interlock.dataset,
  input_partition text not null,
  input_version bigint not null references interlock.version,
  primary key (version, partition, input_id, input_partition)
);
create index on interlock.input (input_id, input_partition, input_version);
comment on table interlock.input is 'Which versions of which partitions a partition of a version was built from.';

create table interlock.pin (
  run_id bigint not null references interlock.run,
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  version bigint not null references interlock.version,
  primary key (run_id, dataset_id, partition)
);

create table interlock.load (
  load_id bigint primary key references interlock.version,
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  delivered_on date,
  source_file text not null,
  content_hash text not null,
  bytes bigint not null,
  state text not null check (state in ('loading', 'loaded', 'accepted', 'rejected')),
  opened_in xid8 not null default pg_current_xact_id()
);
create index on interlock.load (dataset_id, partition, load_id);

create table interlock.delivery (
  delivery_id bigint generated always as identity primary key,
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  run_id bigint not null references interlock.run,
  source_file text,
  content_hash text,
  outcome text not null check (outcome in ('loaded', 'duplicate', 'refused', 'quarantined', 'absent')),
  load_id bigint references interlock.load,
  error jsonb,
  seen_at timestamptz not null default clock_timestamp()
);
create index on interlock.delivery (dataset_id, partition);
create trigger append_only before update or delete or truncate on interlock.delivery
for each statement execute function interlock.refuse_change();

create table interlock.watermark (
  dataset_id integer primary key references interlock.dataset,
  partition text not null,
  load_id bigint not null references interlock.load,
  moved_at timestamptz not null default clock_timestamp()
);
comment on table interlock.watermark is 'The newest partition of a feed that its raw gate has accepted.';

-- The pointer: which version of a partition is served. The row exists from the first run that was admitted for it.
create table interlock.partition (
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  starts_on date,
  version bigint references interlock.version,
  verdict_id bigint,
  published_at timestamptz,
  published_by bigint references interlock.run,
  withdrawn_at timestamptz,
  primary key (dataset_id, partition),
  check ((version is null) = (verdict_id is null)),
  check (partition = 'all' or starts_on = partition::date)
);
create index on interlock.partition (dataset_id, starts_on);

create view interlock.served_load as
select l.load_id, l.dataset_id, l.partition, l.delivered_on
from interlock.load l
join interlock.partition p on p.dataset_id = l.dataset_id and p.partition = l.partition
join interlock.dataset d on d.dataset_id = l.dataset_id
where p.withdrawn_at is null
  and case when d.is_increment then l.state = 'accepted' and l.load_id <= p.version else l.load_id = p.version end;

create function interlock.refuse_closed_load() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (
    select from interlock.load l
    where l.load_id = interlock.current_load() and l.state = 'loading' and l.opened_in = pg_current_xact_id_if_assigned()
      and l.dataset_id = (
        select d.dataset_id from interlock.dataset d where 'raw_' || d.domain = tg_table_schema and d.name = tg_table_name)
  ) then
    raise exception 'rows may be added to %.% only by the load that this transaction opened', tg_table_schema, tg_table_name
      using errcode = 'IL010';
  end if;
  return null;
end;
$$;

-- Opens a load in this transaction; the raw table's column defaults read what it sets.
create function interlock.begin_load(
  run_id bigint, token bigint, dataset text, partition text, delivered_on date, source_file text, content_hash text)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  feed interlock.dataset;
  opened bigint;
begin
  perform interlock.require_claim(begin_load.run_id, token, begin_load.partition);
  select * into strict feed from interlock.dataset where dataset_id = interlock.dataset_id_of(dataset) and layer = 'raw';
  perform pg_advisory_xact_lock(hashtextextended('interlock.load.' || dataset || '.' || begin_load.partition, 0));
  insert into interlock.version (dataset_id, run_id, contract_version, clause_digest)
  values (feed.dataset_id, begin_load.run_id, feed.contract_version, feed.clause_digest) returning version into opened;
  insert into interlock.load (load_id, dataset_id, partition, delivered_on, source_file, content_hash, bytes, state)
  values (opened, feed.dataset_id, begin_load.partition, begin_load.delivered_on, begin_load.source_file, begin_load.content_hash, 0, 'loading');
  perform set_config('interlock.load_id', opened::text, true);
  perform set_config('interlock.source_file', begin_load.source_file, true);
  return opened;
end;
$$;

-- Closes the load with what was counted; from here on nobody can add a row to it.
create function interlock.finish_load(closing bigint, counted_rows bigint, counted_bytes bigint, hash text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  closed interlock.load;
begin
  update interlock.load set state = 'loaded', bytes = counted_bytes, content_hash = hash
  where load_id = closing and state = 'loading' and opened_in = pg_current_xact_id_if_assigned() returning * into closed;
  if not found then
    raise exception 'load % is not open in this transaction', closing using errcode = 'IL010';
  end if;
  update interlock.version set rows = counted_rows, sealed_at = clock_timestamp() where version = closing;
  insert into interlock.version_partition (version, partition, rows) values (closing, closed.partition, counted_rows);
  insert into interlock.delivery (dataset_id, partition, run_id, source_file, content_hash, outcome, load_id)
  select closed.dataset_id, closed.partition, v.run_id, closed.source_file, hash, 'loaded', closing
  from interlock.version v where v.version = closing;
end;
$$;

create function interlock.record_delivery(
  run_id bigint, token bigint, dataset text, partition text, source_file text, content_hash text, outcome text, load_id bigint default null)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform interlock.require_claim(record_delivery.run_id, token, record_delivery.partition);
  insert into interlock.delivery (dataset_id, partition, run_id, source_file, content_hash, outcome, load_id)
  values (interlock.dataset_id_of(dataset), record_delivery.partition, record_delivery.run_id, record_delivery.source_file,
    record_delivery.content_hash, record_delivery.outcome, record_delivery.load_id);
end;
$$;

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
  execute format('drop schema if exists %I cascade', 'run_' || close_workspace.run_id);
end;
$$;

-- Shows the workspace exactly the given versions of exactly the given partitions of an input, under the name
-- that the models use for it. Only what is safe now may be pinned; no pins make an empty input.
create function interlock.pin_input(run_id bigint, token bigint, dataset text, pins jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset;
  workspace text := 'run_' || pin_input.run_id;
  names text;
  loads bigint[];
  versions bigint[];
  days date[];
  unfit record;
begin
  select * into strict d from interlock.dataset where dataset_id = interlock.dataset_id_of(dataset);
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
  select array_agg(distinct n.version), array_agg(n.partition::date) filter (where n.partition <> 'all')
  into versions, days from jsonb_to_recordset(pins) as n (partition text, version bigint);

  names := (select string_agg('t.' || quote_ident(c ->> 'name'), ', ' order by n)
            from jsonb_array_elements(d.columns) with ordinality as i (c, n));
  if d.layer = 'raw' then
    select array_agg(l.load_id) into loads from interlock.load l
    join jsonb_to_recordset(pins) as n (partition text, version bigint) on n.partition = l.partition
    where l.dataset_id = d.dataset_id
      and case when d.is_increment then l.state = 'accepted' and l.load_id <= n.version else l.load_id = n.version end;
    execute format(
      'create or replace view %I.%I as select %s, t._load_id, t._loaded_at, t._source_file, t._row_number,'
      ' l.partition as _partition, l.delivered_on as _delivered_on'
      ' from %I.%I t join interlock.load l on l.load_id = t._load_id where t._load_id = any (%L::bigint[])',
      workspace, d.name || '_accepted', names, 'raw_' || d.domain, d.name, coalesce(loads, '{}'));
    execute format('grant select on %I.%I to interlock_builder, interlock_gate', workspace, d.name || '_accepted');
    return;
  end if;

  execute format(
    'create or replace view %I.%I as select %s from %I.%I t where %s', workspace, d.name, names, d.layer, d.name,
    case
      when versions is null then 'false'
      when d.grain = 'all' then format('t._version = %s', versions[1])
      when cardinality(versions) = 1 and cardinality(days) = 1 then
        format('t._version = %s and t.%I = %L::date', versions[1], d.partition_column, days[1])
      when cardinality(versions) = 1 then
        format('t._version = %s and t.%I between %L and %L and t.%I = any (%L::date[])', versions[1], d.partition_column,
          (select min(x) from unnest(days) x), (select max(x) from unnest(days) x), d.partition_column, days)
      else format(
        't.%I between %L and %L and exists (select from interlock.pin p where p.run_id = %s and p.dataset_id = %s'
        ' and p.version = t._version and p.partition = t.%I::text)',
        d.partition_column, (select min(x) from unnest(days) x), (select max(x) from unnest(days) x),
        pin_input.run_id, d.dataset_id, d.partition_column)
    end);
  execute format('grant select on %I.%I to interlock_builder, interlock_gate', workspace, d.name);
end;
$$;

-- Seals one table of a candidate: version column, the CHECK that lets the attach skip its scan, a new owner.
create function interlock.seal_table(d interlock.dataset, workspace text, table_name text, sealed_name text, version bigint, bucket date,
  needs_index boolean)
returns void
language plpgsql as $$
declare
  bounds text := '';
begin
  if bucket is not null then
    bounds := format(' and %1$I is not null and %1$I >= %2$L and %1$I < %3$L', d.partition_column, bucket, (bucket + interval '1 month')::date);
  end if;
  -- Ownership first: from here on the builder cannot change a row, in this transaction or after it.
  execute format('alter table %I.%I owner to interlock_owner', workspace, table_name);
  execute format('revoke all on %I.%I from interlock_builder', workspace, table_name);
  if not exists (
    select from pg_attribute a where a.attrelid = format('%I.%I', workspace, table_name)::regclass and a.attname = '_version'
  ) then
    execute format('alter table %I.%I add column _version bigint not null default %s', workspace, table_name, version);
  end if;
  execute format('alter table %I.%I add constraint sealed check (_version is not null and _version = %s%s)',
    workspace, table_name, version, bounds);
  if needs_index then
    execute format('create index on %I.%I (%I)', workspace, table_name, d.partition_column);
  end if;
  execute format('alter table %I.%I rename to %I', workspace, table_name, sealed_name);
  execute format('alter table %I.%I set schema versions', workspace, sealed_name);
  execute format('grant select on versions.%I to interlock_gate, interlock_builder', sealed_name);
  execute format('analyze versions.%I', sealed_name);
  insert into interlock.version_table (version, table_name, bucket) values (seal_table.version, sealed_name, seal_table.bucket);
end;
$$;

-- Takes what the run built for a dataset out of the builder's hands and gives it a version id. The candidate must
-- hold rows of the given partitions alone, and every input must have been pinned.
create function interlock.seal(run_id bigint, token bigint, dataset text, partitions text[], code_version text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset;
  workspace text := 'run_' || seal.run_id;
  candidate regclass;
  kind "char";
  sealed bigint;
  sealed_name text;
  part record;
  bucket date;
  stray bigint;
begin
  select * into strict d from interlock.dataset where dataset_id = interlock.dataset_id_of(dataset) and layer <> 'raw';
  perform interlock.require_claim(seal.run_id, token, p) from unnest(partitions) as p;
  candidate := to_regclass(format('%I.%I', workspace, d.name));
  select c.relkind into kind from pg_class c where c.oid = candidate;
  if kind is null or kind not in ('r', 'p') then
    raise exception 'run % has built no table "%"', seal.run_id, dataset using errcode = 'IL007',
      hint = 'The model must be materialized as a table of the dataset''s name.';
  end if;

  insert into interlock.version (dataset_id, run_id, contract_version, clause_digest, code_version)
  values (d.dataset_id, seal.run_id, d.contract_version, d.clause_digest, seal.code_version) returning version into sealed;
  sealed_name := d.name || '__v' || sealed;

  if kind = 'r' then
    if d.grain = 'day' then
      bucket := date_trunc('month', partitions[1]::date)::date;
    end if;
    perform interlock.seal_table(d, workspace, d.name, sealed_name, sealed, bucket, cardinality(partitions) > 1);
  else
    execute format('alter table %s owner to interlock_owner', candidate);
    execute format('alter table %s add column _version bigint not null default %s', candidate, sealed);
    for part in
      select c.relname, (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(\d{4}-\d\d-\d\d)'))[1]::date as starts
      from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = candidate order by 2
    loop
      execute format('alter table %s detach partition %I.%I', candidate, workspace, part.relname);
      perform interlock.seal_table(
        d, workspace, part.relname, sealed_name || to_char(part.starts, '"__"YYYY_MM'), sealed, part.starts, true);
    end loop;
    execute format('drop table %s', candidate);
    execute format('create view versions.%I as %s', sealed_name, (
      select string_agg(format('select * from versions.%I', t.table_name), ' union all ' order by t.bucket)
      from interlock.version_table t where t.version = sealed));
    execute format('grant select on versions.%I to interlock_gate, interlock_builder', sealed_name);
  end if;

  if d.grain = 'all' then
    execute format('insert into interlock.version_partition select %s, ''all'', count(*) from versions.%I', sealed, sealed_name);
  else
    execute format(
      'insert into interlock.version_partition select %s, p, coalesce(n, 0) from unnest($1) as p'
      ' left join (select %I::text as day, count(*) as n from versions.%I group by 1) as c on c.day = p',
      sealed, d.partition_column, sealed_name) using partitions;
    execute format('select count(*) from versions.%I where %I <> all ($1)', sealed_name, d.partition_column)
    into stray using (select array_agg(p::date) from unnest(partitions) p);
    if stray > 0 then
      raise exception 'the candidate of "%" holds % rows outside partitions % to %', dataset, stray, partitions[1],
        partitions[cardinality(partitions)] using errcode = 'IL007',
        hint = 'The model must give every row the date of its own partition.';
    end if;
  end if;
  update interlock.version v set sealed_at = clock_timestamp(),
    rows = (select sum(p.rows) from interlock.version_partition p where p.version = sealed)
  where v.version = sealed;

  insert into interlock.input (version, partition, input_id, input_partition, input_version)
  select sealed, p, e.upstream_id, n.partition, n.version
  from interlock.edge e
  join interlock.pin n on n.run_id = seal.run_id and n.dataset_id = e.upstream_id
  cross join unnest(partitions) as p
  where e.downstream_id = d.dataset_id
    and case e.mapping
      when 'same' then n.partition = p
      when 'window' then n.partition::date between p::date - e.lookback and p::date
      else true
    end;
  select u.name, p as day into part
  from interlock.edge e join interlock.dataset u on u.dataset_id = e.upstream_id cross join unnest(partitions) as p
  where e.downstream_id = d.dataset_id and e.mapping in ('same', 'window')
    and not exists (
      select from interlock.input i
      where i.version = sealed and i.partition = p and i.input_id = e.upstream_id and i.input_partition = p)
  limit 1;
  if found then
    raise exception 'the candidate of "%" partition % reads "%", which was not pinned', dataset, part.day, part.name
      using errcode = 'IL006', hint = 'Its input is not safe, so it must not be built.';
  end if;

  -- What this run built is an input of what it builds next, and of the gates.
  insert into interlock.pin (run_id, dataset_id, partition, version)
  select seal.run_id, d.dataset_id, p, sealed from unnest(partitions) as p
  on conflict on constraint pin_pkey do update set version = excluded.version;
  execute format('create view %I.%I as select %s from versions.%I', workspace, d.name, interlock.column_list(d.columns, false), sealed_name);
  execute format('grant select on %I.%I to interlock_builder, interlock_gate', workspace, d.name);
  return sealed;
end;
$$;
