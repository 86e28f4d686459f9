-- What exists: datasets, their contracts, their lineage; and the clock that everything is judged by.

create schema staged authorization interlock_owner;
create schema curated authorization interlock_owner;
create schema versions authorization interlock_owner;
create schema safe authorization interlock_owner;
create schema waived authorization interlock_owner;
grant usage on schema safe to interlock_consumer, interlock_developer, interlock_operator, interlock_auditor;
grant usage on schema versions to interlock_gate;
grant usage on schema staged, curated to interlock_reader;
grant usage, create on schema safe to interlock_reader;

create table interlock.clock (
  only_row boolean primary key default true check (only_row),
  offset_from_real interval not null,
  set_by text not null,
  set_at timestamptz not null default now()
);
comment on table interlock.clock is
  'An offset that advances with real time, for replays. Empty means real time. Only the operator writes it.';

-- As its owner, so that whoever asks may know the time without reading the platform's tables.
create function interlock.now() returns timestamptz
language sql stable parallel safe security definer
return now() + coalesce((select offset_from_real from interlock.clock), interval '0');

-- The first day of a partition; null for `all`. Independent of the session's DateStyle, unlike a cast.
create function interlock.starts_on(partition text) returns date
language sql immutable
return case when partition <> 'all'
  then make_date(substr(partition, 1, 4)::integer, substr(partition, 6, 2)::integer, substr(partition, 9, 2)::integer) end;

create table interlock.dataset (
  dataset_id integer generated always as identity primary key,
  name text not null unique check (name ~ '^[a-z][a-z0-9_]{0,39}$'),
  domain text not null check (domain ~ '^[a-z][a-z0-9_]{0,39}$'),
  layer text not null check (layer in ('raw', 'staged', 'curated')),
  grain text not null check (grain in ('day', 'all')),
  partition_column text,
  is_increment boolean not null default false,
  columns jsonb not null,
  on_gate_failure text not null check (on_gate_failure in ('withhold', 'serve-last-good')),
  freshness interval,
  window_partitions integer not null default 1 check (window_partitions > 0),
  lease interval not null,
  lease_until timestamptz,
  owner text not null,
  criticality text not null default 'normal' check (criticality in ('low', 'normal', 'high', 'highest')),
  contract_version text not null,
  content_digest text not null,
  clause_digest text not null,
  clauses text[] not null,
  registered_at timestamptz not null default now(),
  registered_by text not null,
  retired_at timestamptz,
  retired_by text check (retired_by <> ''),
  retired_because text check (retired_because <> ''),
  check (num_nulls(retired_at, retired_by, retired_because) in (0, 3)),
  check (retired_at is null or lease_until is null),
  check (layer = 'raw' or (grain = 'day') = (partition_column is not null))
);
comment on column interlock.dataset.clauses is 'The clauses that block: a verdict that lacks one of them has failed.';
comment on column interlock.dataset.retired_at is 'Since when it is out of use: nothing of it is safe, and nobody renews it.';
comment on column interlock.dataset.lease_until is 'Renewal lease: past it every answer about the dataset is *unknown*.';

create table interlock.contract (
  dataset_id integer not null references interlock.dataset,
  version text not null,
  content_digest text not null,
  clause_digest text not null,
  clauses text[] not null,
  activated_at timestamptz not null default now(),
  activated_by text not null,
  primary key (dataset_id, version)
);

create table interlock.edge (
  upstream_id integer not null references interlock.dataset,
  downstream_id integer not null references interlock.dataset,
  mapping text not null check (mapping in ('same', 'all', 'window')),
  lookback integer not null default 0 check (lookback >= 0),
  reopens boolean not null,
  primary key (upstream_id, downstream_id)
);
comment on table interlock.edge is
  'Lineage with its partition mapping, written from the dbt manifest and the contracts alone.';
comment on column interlock.edge.reopens is 'Whether a new or unsafe version upstream makes the dependants unsafe.';

create table interlock.event (
  event_id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  kind text not null,
  dataset_id integer references interlock.dataset,
  partition text,
  run_id bigint,
  actor text not null,
  payload jsonb not null default '{}'
);
create index on interlock.event (dataset_id, partition);

-- Which tables the transaction that is named may prune; a row lives no longer than the statement that needs it.
create table interlock.pruning (
  opened_in xid8 primary key,
  relations regclass[] not null
);

create function interlock.refuse_change() returns trigger
language plpgsql as $$
begin
  if tg_op = 'DELETE' and exists (
    select from interlock.pruning p where p.opened_in = pg_current_xact_id_if_assigned() and tg_relid = any (p.relations)) then
    return null;
  end if;
  raise exception '% is append-only: % is refused', tg_table_name, lower(tg_op) using errcode = 'IL010';
end;
$$;

create trigger append_only before update or delete or truncate on interlock.event
for each statement execute function interlock.refuse_change();
create trigger append_only before update or delete or truncate on interlock.contract
for each statement execute function interlock.refuse_change();

-- The dataset itself while its lease runs, null from then on: nothing of it is safe any more.
create function interlock.leased(of_dataset integer) returns integer
language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (select d.dataset_id from interlock.dataset d where d.dataset_id = of_dataset and d.lease_until > interlock.now());
end;
$$;

-- Transactions that attach tables do so one after another, each under the next number. In sequences, because what a plan
-- knows is what the session was told when it was made, whatever snapshot it is made in.
create sequence interlock.attachment minvalue 0 start 0;
create sequence interlock.attaching_xid minvalue 0 start 0;

create function interlock.attachment_key(number bigint) returns bigint
language sql immutable parallel safe
return hashtextextended('interlock.attachment.' || number, 0);

-- The number of this transaction, within `decide_alone`. Held under a lock to the end of the transaction, which comes
-- after the other sessions were told; whoever reads the number finds the lock taken and the transaction named.
create function interlock.number_attachment() returns bigint
language plpgsql as $$
declare
  number bigint := (select last_value from interlock.attachment);
begin
  if (select last_value from interlock.attaching_xid) <> pg_current_xact_id()::text::bigint then
    number := number + 1;
    perform setval('interlock.attaching_xid', pg_current_xact_id()::text::bigint);
    perform pg_advisory_xact_lock(interlock.attachment_key(number));
    perform setval('interlock.attachment', number);
  end if;
  return number;
end;
$$;

-- Up to which attachment the plan that is being made knows the tables. Called immutable, against the letter: so it is asked
-- while the plan is made, after its names were looked up and before its tables are, and the answer stays in the plan.
-- A session takes in what it was told when it opens a table that it holds no lock of: nobody holds one of `pruning`.
create function interlock.known_attachments() returns bigint
language plpgsql immutable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
declare
  number bigint := (select last_value from interlock.attachment);
  key bigint := interlock.attachment_key(number);
begin
  if not pg_try_advisory_lock_shared(key) then
    perform pg_relation_is_updatable('interlock.pruning', false);
    if pg_xact_status((select last_value from interlock.attaching_xid)::text::xid8) = 'in progress' then
      return number - 1;  -- what it attaches will be told later, and the plan then be made anew
    end if;
    -- It is committed, and at this instant tells the other sessions. Nothing can hold it up any more.
    perform pg_advisory_lock_shared(key);
  end if;
  perform pg_advisory_unlock_shared(key), pg_relation_is_updatable('interlock.pruning', false);
  return number;
end;
$$;

-- PostgreSQL runs a plan with a snapshot that is newer than the plan: by an instant, or by a whole transaction where the
-- statement was prepared. A table that was attached in between is not in the plan, and its day would read as empty. Has no
-- rows, and those in the shape that is asked for; raises where what may be read was attached later than the plan knows.
create function interlock.unknown_rows(shape anyelement, of_dataset integer, known bigint) returns setof anyelement
language plpgsql stable parallel safe rows 1 security definer set search_path = pg_catalog, pg_temp as $$
begin
  if exists (
    select from interlock.partition p
    where p.dataset_id = interlock.leased(of_dataset) and p.attachment > known and p.open_causes = 0 and p.withdrawn_at is null)
  then
    raise exception 'what is read was published anew after this statement was planned' using errcode = '40001',
      hint = 'Run it again; in a transaction that is open, with a prepared statement: run the transaction again.';
  end if;
end;
$$;

-- Where the rows of each day lie that may be read: the array's first index is the first known day, counted from the epoch.
create function interlock.served_tables(of_dataset integer) returns oid[]
language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
declare
  days integer[];
  first integer;
  last integer;
  found_tables oid[];
  tables oid[];
begin
  select
    array_agg(p.starts_on - date 'epoch' order by p.starts_on),
    array_agg(case when p.open_causes = 0 and p.withdrawn_at is null then coalesce(p.lies_in, 0::oid) else 0::oid end order by p.starts_on)
  into days, found_tables
  from interlock.partition p where p.dataset_id = interlock.leased(of_dataset) and p.starts_on is not null;
  first := days[1];
  last := days[cardinality(days)];
  if cardinality(days) < last - first + 1 then
    select array_agg(coalesce(f.lies_in, 0::oid) order by day) into found_tables
    from generate_series(first, last) as day left join unnest(days, found_tables) as f (day, lies_in) using (day);
  end if;
  if first is not null then
    tables[first:last] := found_tables;
  end if;
  return tables;
end;
$$;

-- The version of a dataset without days that may be read.
create function interlock.served_version(of_dataset integer) returns bigint
language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (
    select p.version from interlock.partition p
    where p.dataset_id = interlock.leased(of_dataset) and p.partition = 'all' and p.open_causes = 0 and p.withdrawn_at is null);
end;
$$;

create function interlock.dataset_id_of(named text) returns integer
language plpgsql stable as $$
declare
  found_id integer;
begin
  select dataset_id into found_id from interlock.dataset where name = named;
  if found_id is null then
    raise exception 'no dataset is named "%"', named using errcode = 'IL002', hint = 'See `interlock status` for the names.';
  end if;
  return found_id;
end;
$$;

-- A clock that is set back must not leave leases that would take years to run out.
create function interlock.shorten_leases() returns void
language sql
begin atomic
  update interlock.dataset set lease_until = interlock.now() + lease where lease_until > interlock.now() + lease;
end;

-- What has run out stays so: an earlier time brings no answer back that nobody has renewed since.
create function interlock.end_lapsed(instant timestamptz) returns void
language sql
begin atomic
  update interlock.dataset set lease_until = least(lease_until, instant) where lease_until <= interlock.now();
end;

create function interlock.set_clock(instant timestamptz, actor text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform interlock.decide_alone();
  perform interlock.end_lapsed(instant);
  insert into interlock.clock (offset_from_real, set_by) values (instant - pg_catalog.now(), actor)
  on conflict (only_row) do update set offset_from_real = excluded.offset_from_real, set_by = excluded.set_by, set_at = default;
  perform interlock.shorten_leases();
  insert into interlock.event (kind, actor, payload)
  values ('clock_set', actor, pg_catalog.jsonb_build_object('instant', instant));
end;
$$;

create function interlock.clear_clock(actor text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform interlock.decide_alone();
  perform interlock.end_lapsed(pg_catalog.now());
  delete from interlock.clock;
  perform interlock.shorten_leases();
  insert into interlock.event (kind, actor) values ('clock_cleared', actor);
end;
$$;

-- The columns of a dataset as SQL: `"a" text, "b" integer`, or only the names.
create function interlock.column_list(columns jsonb, with_types boolean) returns text
language sql immutable
return (
  select string_agg(quote_ident(c ->> 'name') || case when with_types then ' ' || (c ->> 'type') else '' end, ', ' order by n)
  from jsonb_array_elements(columns) with ordinality as item (c, n)
);

-- The load that this session opened last. The session's last value of a sequence that only the platform may advance:
-- a setting could be changed in the middle of a statement, and rows slipped into a load that was judged long ago.
-- Called stable, against the letter, because COPY drops to row-by-row inserts for a volatile default.
create function interlock.current_load() returns bigint
language plpgsql stable as $$
begin
  return currval('interlock.version_id');
end;
$$;

-- Where a domain's deliveries are kept that may not be loaded: line by line, for the operator's eyes.
create function interlock.create_quarantine(raw_schema text) returns void
language plpgsql as $$
begin
  if to_regclass(format('%I.quarantined_line', raw_schema)) is not null then
    return;
  end if;
  execute format(
    'create table %I.quarantined_line ('
    ' quarantine_id bigint not null default current_setting(''interlock.quarantine_id'')::bigint,'
    ' line_number bigint not null default nextval(''pg_temp.interlock_row_number''::text::regclass),'
    ' line text not null)', raw_schema);
  execute format('create index on %I.quarantined_line (quarantine_id)', raw_schema);
  execute format('grant insert (line) on %I.quarantined_line to interlock_loader', raw_schema);
  execute format('grant usage on schema %I to interlock_operator', raw_schema);
  execute format('grant select on %I.quarantined_line to interlock_operator', raw_schema);
  execute format(
    'create trigger only_open_deliveries before insert on %I.quarantined_line'
    ' for each statement execute function interlock.refuse_closed_quarantine()', raw_schema);
  execute format(
    'create trigger append_only before update or delete or truncate on %I.quarantined_line'
    ' for each statement execute function interlock.refuse_change()', raw_schema);
end;
$$;

-- Creates the physical home of a dataset: tables of a layer differ only here.
create function interlock.create_home(d interlock.dataset) returns void
language plpgsql as $$
declare
  raw_schema text := 'raw_' || d.domain;
  names text := interlock.column_list(d.columns, false);
begin
  if d.layer = 'raw' then
    execute format('create schema if not exists %I', raw_schema);
    execute format('grant usage on schema %I to interlock_loader, interlock_gate, interlock_developer', raw_schema);
    execute format(
      'create table %I.%I (%s,'
      ' _load_id bigint not null default interlock.current_load(),'
      ' _loaded_at timestamptz not null default now(),'
      ' _source_file text not null default current_setting(''interlock.source_file''),'
      ' _row_number bigint not null default nextval(''pg_temp.interlock_row_number''::text::regclass))',
      raw_schema, d.name, interlock.column_list(d.columns, true));
    execute format('create index on %I.%I (_load_id)', raw_schema, d.name);
    -- Only the contract's columns may be written: load id, time, file and row number are always the defaults.
    execute format('grant insert (%s) on %I.%I to interlock_loader', names, raw_schema, d.name);
    execute format('grant select on %I.%I to interlock_gate', raw_schema, d.name);
    execute format(
      'create trigger only_open_loads before insert on %I.%I for each statement execute function interlock.refuse_closed_load()',
      raw_schema, d.name);
    execute format(
      'create trigger append_only before update or delete or truncate on %I.%I for each statement execute function interlock.refuse_change()',
      raw_schema, d.name);
    execute format(
      'create view %I.%I as select %s, r._load_id, r._loaded_at, r._source_file, r._row_number,'
      ' l.partition as _partition, l.delivered_on as _delivered_on, l.sequence as _sequence'
      ' from %I.%I r join interlock.served_load l on l.load_id = r._load_id and l.dataset_id = %s'
      ' where not exists (select from interlock.quarantined_row q where q.load_id = r._load_id and q.row_number = r._row_number)',
      raw_schema, d.name || '_accepted', names, raw_schema, d.name, d.dataset_id);
    execute format('grant select on %I.%I to interlock_developer', raw_schema, d.name || '_accepted');
    perform interlock.create_quarantine(raw_schema);
    return;
  end if;

  execute format(
    'create table %I.%I (%s, _version bigint not null) partition by %s',
    d.layer, d.name, interlock.column_list(d.columns, true),
    case d.grain when 'day' then format('range (%I)', d.partition_column) else 'list (_version)' end);
  -- A policy is asked before any condition of the asker's that could tell what it was shown.
  execute format('alter table %I.%I enable row level security', d.layer, d.name);
  execute format(
    'create policy safe on %I.%I for select to interlock_reader using (' || case d.grain when 'day' then
      -- The table that a row lies in is known without reading the row, and all of a range is looked up in one array.
      -- The coalesce is for the planner: without it, it takes the condition for one that a handful of rows meet.
      'coalesce(tableoid = (select interlock.served_tables(%s))[%I - date ''epoch''], false)'
    else
      -- A value known when execution starts passes over every other version.
      '_version = (select interlock.served_version(%s))'
    end || ')', d.layer, d.name, d.dataset_id, d.partition_column);
  execute format('grant select on %I.%I to interlock_reader', d.layer, d.name);
  -- The first arm has no rows: it is what is executed whatever the plan passed over, where no row is left to be looked at too.
  -- Of a dataset without days the versions are passed over by a condition on both arms; a policy of one arm does not do that.
  execute format(
    'create view safe.%1$I as select %2$s from ('
    ' select * from interlock.unknown_rows(null::%3$I.%1$I, %4$s, interlock.known_attachments())'
    ' union all select * from %3$I.%1$I) as rows' || case d.grain when 'all' then
      ' where _version = (select interlock.served_version(%4$s))' else '' end,
    d.name, interlock.column_list(d.columns, false), d.layer, d.dataset_id);
  execute format('alter view safe.%I owner to interlock_reader', d.name);
  execute format('grant select on safe.%I to interlock_consumer, interlock_developer, interlock_operator, interlock_auditor', d.name);
  perform interlock.create_waived_view(d);
end;
$$;

create function interlock.register_dataset(definition jsonb, actor text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  old interlock.dataset;
  new interlock.dataset;
begin
  perform interlock.decide_alone();
  select * into old from interlock.dataset where name = definition ->> 'name' for update;
  if old.dataset_id is not null and old.columns is distinct from definition -> 'columns' then
    raise exception 'the columns of "%" differ from the published table', old.name using errcode = 'IL003',
      hint = 'Adding or changing a column of a published dataset is a planned operation over all its versions.';
  end if;
  if old.dataset_id is not null and (old.layer, old.grain, old.domain, old.partition_column, old.is_increment) is distinct from
    (definition ->> 'layer', definition ->> 'grain', definition ->> 'domain', definition ->> 'partition_column',
      coalesce((definition ->> 'is_increment')::boolean, false)) then
    raise exception 'layer, grain, domain, partition column or delivery mode of "%" cannot change in place', old.name using errcode = 'IL003',
      hint = 'Give the new shape a new name and retire the old dataset.';
  end if;

  insert into interlock.dataset as d (
    name, domain, layer, grain, partition_column, is_increment, columns, on_gate_failure, freshness, window_partitions, lease,
    owner, criticality, contract_version, content_digest, clause_digest, clauses, registered_by)
  select
    r.name, r.domain, r.layer, r.grain, r.partition_column, coalesce(r.is_increment, false), r.columns, r.on_gate_failure,
    r.freshness, coalesce(r.window_partitions, 1), r.lease, r.owner, coalesce(r.criticality, 'normal'), r.contract_version,
    r.content_digest, r.clause_digest, r.clauses, actor
  from jsonb_populate_record(null::interlock.dataset, definition) as r
  on conflict (name) do update set
    on_gate_failure = excluded.on_gate_failure, freshness = excluded.freshness, window_partitions = excluded.window_partitions,
    lease = excluded.lease, owner = excluded.owner, criticality = excluded.criticality,
    contract_version = excluded.contract_version, content_digest = excluded.content_digest, clause_digest = excluded.clause_digest, clauses = excluded.clauses,
    registered_at = pg_catalog.now(), registered_by = excluded.registered_by
  returning * into new;

  if old.dataset_id is null then
    perform interlock.create_home(new);
  end if;
  if old.contract_version is distinct from new.contract_version or old.content_digest is distinct from new.content_digest then
    insert into interlock.contract (dataset_id, version, content_digest, clause_digest, clauses, activated_by)
    values (new.dataset_id, new.contract_version, new.content_digest, new.clause_digest, new.clauses, actor)
    on conflict (dataset_id, version) do nothing;
    if not exists (
      select from interlock.contract c
      where c.dataset_id = new.dataset_id and c.version = new.contract_version and c.content_digest = new.content_digest
    ) then
      raise exception 'contract "%" version % is already registered with other content', new.name, new.contract_version
        using errcode = 'IL004', hint = 'Raise the version of the contract; `interlock contract lint` names what changed.';
    end if;
    insert into interlock.event (kind, dataset_id, actor, payload)
    values ('contract_activated', new.dataset_id, actor,
      jsonb_build_object('version', new.contract_version, 'clause_digest', new.clause_digest));
  end if;
  return new.dataset_id;
end;
$$;

create function interlock.register_lineage(edges jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from interlock.edge e where not exists (
    select from jsonb_to_recordset(edges) as n (upstream text, downstream text)
    where interlock.dataset_id_of(n.upstream) = e.upstream_id and interlock.dataset_id_of(n.downstream) = e.downstream_id);
  insert into interlock.edge (upstream_id, downstream_id, mapping, lookback, reopens)
  select interlock.dataset_id_of(n.upstream), interlock.dataset_id_of(n.downstream), n.mapping, coalesce(n.lookback, 0), n.reopens
  from jsonb_to_recordset(edges) as n (upstream text, downstream text, mapping text, lookback integer, reopens boolean)
  on conflict (upstream_id, downstream_id) do update
  set mapping = excluded.mapping, lookback = excluded.lookback, reopens = excluded.reopens;
end;
$$;
