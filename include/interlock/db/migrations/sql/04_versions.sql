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
  attachment bigint,
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
  sequence bigint,
  source_file text not null,
  content_hash text not null,
  bytes bigint not null,
  fingerprint text,
  state text not null check (state in ('loading', 'loaded', 'accepted', 'rejected')),
  replaces bigint references interlock.load,
  opened_in xid8 not null default pg_current_xact_id()
);
create index on interlock.load (dataset_id, partition, load_id);
create index on interlock.load (dataset_id, partition, coalesce(delivered_on, '-infinity'), coalesce(sequence, -1), load_id);
comment on column interlock.load.bytes is 'Of the content, decompressed.';
comment on column interlock.load.replaces is 'The load whose rows it sends through the gates again.';
create index on interlock.load (replaces) where replaces is not null;
comment on column interlock.load.sequence is 'An increment is its partition, its delivery date and its sequence: delivered again, it is corrected.';
comment on column interlock.load.fingerprint is
  'Size, time and etag of the file when it was read: an accepted increment that still has them is not read again.';

create table interlock.delivery (
  delivery_id bigint generated always as identity primary key,
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  run_id bigint not null references interlock.run,
  delivered_on date,
  sequence bigint,
  source_file text,
  content_hash text,
  fingerprint text,
  outcome text not null check (
    outcome in ('loaded', 'duplicate', 'refused', 'quarantined', 'absent', 'outdated', 'withdrawn')),
  load_id bigint references interlock.load,
  error jsonb,
  seen_at timestamptz not null default clock_timestamp()
);
create index on interlock.delivery (dataset_id, partition, delivered_on, sequence, delivery_id);
create index on interlock.delivery (run_id);
comment on column interlock.delivery.outcome is
  'outdated: older than what is served, so it changes nothing. withdrawn: refused before, and gone without ever having been accepted.';
create trigger append_only before update or delete or truncate on interlock.delivery
for each statement execute function interlock.refuse_change();

create table interlock.quarantined_delivery (
  quarantine_id bigint generated always as identity primary key,
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  run_id bigint not null references interlock.run,
  source_file text not null,
  content_hash text not null,
  lines bigint,
  opened_at timestamptz not null default clock_timestamp(),
  opened_in xid8 not null default pg_current_xact_id()
);
create index on interlock.quarantined_delivery (dataset_id, partition, content_hash);
comment on table interlock.quarantined_delivery is
  'Deliveries that were refused and kept: their lines, as delivered, are in raw_<domain>.quarantined_line.';

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
  lies_in regclass,
  attachment bigint,
  verdict_id bigint,
  published_at timestamptz,
  published_by bigint references interlock.run,
  withdrawn_at timestamptz,
  withdrawn_version bigint references interlock.version,
  open_causes integer not null default 0 check (open_causes >= 0),
  primary key (dataset_id, partition),
  check ((version is null) = (verdict_id is null)),
  check ((withdrawn_at is null) = (withdrawn_version is null)),
  check (starts_on is not distinct from interlock.starts_on(partition))
) with (fillfactor = 50);
comment on column interlock.partition.withdrawn_version is
  'What was taken out of sight: the served version; of increments, one of the loads that are served together.';
comment on column interlock.partition.lies_in is 'The table of the served version that holds the rows of this day.';
comment on column interlock.partition.attachment is 'The number under which that table was attached: see `known_attachments`.';
comment on column interlock.partition.open_causes is 'Counted by a trigger on the causes, so that readers need not.';
create unique index on interlock.partition (dataset_id, starts_on);
create index on interlock.partition (dataset_id, attachment);

create function interlock.find_table() returns trigger
language plpgsql as $$
begin
  new.lies_in := null;
  new.attachment := null;
  select to_regclass(format('versions.%I', t.table_name)), t.attachment into new.lies_in, new.attachment
  from interlock.version_table t
  where t.version = new.version and (t.bucket is null or t.bucket = date_trunc('month', new.starts_on));
  return new;
end;
$$;
create trigger find_table before insert or update of version on interlock.partition
for each row execute function interlock.find_table();

-- Whether a later load that was accepted, up to a version, stands in the place of this one: its replay, or a correction of
-- the same increment. Loads without a date and a sequence are no increments that could be told apart.
create function interlock.is_replaced(older bigint, up_to bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
return exists (select from interlock.load r where r.replaces = older and r.load_id <= up_to and r.state = 'accepted')
  or exists (
    select from interlock.load l
    join interlock.load r on r.dataset_id = l.dataset_id and r.partition = l.partition and r.load_id > l.load_id
      and coalesce(r.delivered_on, '-infinity') = coalesce(l.delivered_on, '-infinity')
      and coalesce(r.sequence, -1) = coalesce(l.sequence, -1)
    where l.load_id = older and r.load_id <= up_to and r.state = 'accepted'
      and not (l.delivered_on is null and l.sequence is null));

-- What became last of each increment of a partition.
create view interlock.last_delivery as
select distinct on (y.dataset_id, y.partition, y.delivered_on, y.sequence)
  y.dataset_id, y.partition, y.delivered_on, y.sequence, y.source_file, y.fingerprint, y.outcome, y.load_id, l.state as load_state
from interlock.delivery y left join interlock.load l on l.load_id = y.load_id
where y.delivered_on is not null or y.sequence is not null
order by y.dataset_id, y.partition, y.delivered_on, y.sequence, y.delivery_id desc;

-- Whether an increment of a partition was refused or rejected and has not come right since: another one that is accepted
-- says nothing about it.
create function interlock.is_increment_missing(of_dataset integer, of_partition text) returns boolean
language sql stable
return exists (
  select from interlock.last_delivery x
  where x.dataset_id = of_dataset and x.partition = of_partition
    and (x.outcome in ('refused', 'quarantined') or x.load_state = 'rejected'));

create view interlock.served_load as
select l.load_id, l.dataset_id, l.partition, l.delivered_on, l.sequence
from interlock.load l
join interlock.partition p on p.dataset_id = l.dataset_id and p.partition = l.partition
join interlock.dataset d on d.dataset_id = l.dataset_id
where p.withdrawn_at is null
  and case
    when d.is_increment then l.state = 'accepted' and l.load_id <= p.version and not interlock.is_replaced(l.load_id, p.version)
    else l.load_id = p.version
  end;

create function interlock.refuse_closed_load() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  opened bigint;
begin
  begin
    opened := interlock.current_load();
  exception when object_not_in_prerequisite_state then
    null;  -- this session never opened a load
  end;
  if not exists (
    select from interlock.load l
    where l.load_id = opened and l.state = 'loading' and l.opened_in = pg_current_xact_id_if_assigned()
      and l.dataset_id = (
        select d.dataset_id from interlock.dataset d where 'raw_' || d.domain = tg_table_schema and d.name = tg_table_name)
  ) then
    raise exception 'rows may be added to %.% only by the load that this transaction opened', tg_table_schema, tg_table_name
      using errcode = 'IL010';
  end if;
  return null;
end;
$$;

-- When what is served of a partition was delivered, where a delivery takes the place of the one before it.
create function interlock.served_delivery(d interlock.dataset, of_partition text) returns date
language sql stable
return (
  select l.delivered_on from interlock.partition p join interlock.load l on l.load_id = p.version
  where p.dataset_id = d.dataset_id and p.partition = of_partition and not d.is_increment);

-- A snapshot that was late on its way must not undo a newer one.
create function interlock.require_newest(d interlock.dataset, of_partition text, delivered_on date) returns void
language plpgsql as $$
declare
  served date := interlock.served_delivery(d, of_partition);
begin
  if delivered_on < served then
    raise exception 'the delivery of "%" of % is older than the one of % that is served', d.name, delivered_on, served
      using errcode = 'IL013', hint = 'It changes nothing. To correct what is served, deliver it again under its own date or a later one.';
  end if;
end;
$$;

-- Opens a load in this transaction; the raw table's column defaults take the load id from it.
create function interlock.begin_load(
  run_id bigint, token bigint, dataset text, partition text, delivered_on date, source_file text, content_hash text,
  sequence bigint default null)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  feed interlock.dataset;
  opened bigint;
begin
  select * into strict feed from interlock.dataset where dataset_id = interlock.dataset_id_of(begin_load.dataset) and layer = 'raw';
  perform interlock.require_claim(begin_load.run_id, token, begin_load.partition, feed.domain);
  perform pg_advisory_xact_lock(hashtextextended('interlock.load.' || dataset || '.' || begin_load.partition, 0));
  perform interlock.require_newest(feed, begin_load.partition, begin_load.delivered_on);
  insert into interlock.version (dataset_id, run_id, contract_version, clause_digest)
  values (feed.dataset_id, begin_load.run_id, feed.contract_version, feed.clause_digest) returning version into opened;
  insert into interlock.load (load_id, dataset_id, partition, delivered_on, sequence, source_file, content_hash, bytes, state)
  values (opened, feed.dataset_id, begin_load.partition, begin_load.delivered_on, begin_load.sequence, begin_load.source_file,
    begin_load.content_hash, 0, 'loading');
  perform set_config('interlock.source_file', begin_load.source_file, true);
  return opened;
end;
$$;

-- Closes the load with what was counted; from here on nobody can add a row to it.
create function interlock.finish_load(
  closing bigint, counted_rows bigint, counted_bytes bigint, hash text, fingerprint text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  closed interlock.load;
begin
  update interlock.load set state = 'loaded', bytes = counted_bytes, content_hash = hash, fingerprint = finish_load.fingerprint
  where load_id = closing and state = 'loading' and opened_in = pg_current_xact_id_if_assigned() returning * into closed;
  if not found then
    raise exception 'load % is not open in this transaction', closing using errcode = 'IL010';
  end if;
  update interlock.version set rows = counted_rows, sealed_at = clock_timestamp() where version = closing;
  insert into interlock.version_partition (version, partition, rows) values (closing, closed.partition, counted_rows);
  perform interlock.account_for_load(closing, counted_rows);
  insert into interlock.delivery (dataset_id, partition, run_id, delivered_on, sequence, source_file, content_hash, fingerprint, outcome, load_id)
  select closed.dataset_id, closed.partition, v.run_id, closed.delivered_on, closed.sequence, closed.source_file, hash,
    finish_load.fingerprint, 'loaded', closing
  from interlock.version v where v.version = closing;
end;
$$;

create function interlock.record_delivery(
  run_id bigint, token bigint, dataset text, partition text, source_file text, content_hash text, outcome text,
  load_id bigint default null, delivered_on date default null, sequence bigint default null, fingerprint text default null,
  error jsonb default null)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  feed integer := interlock.dataset_id_of(dataset);
begin
  -- A record alone: it needs a living run, not the right to change `all`.
  perform interlock.require_claim(record_delivery.run_id, record_delivery.token,
    case when record_delivery.partition = 'all' then r.partitions[1] else record_delivery.partition end,
    (select d.domain from interlock.dataset d where d.dataset_id = feed))
  from interlock.run r where r.run_id = record_delivery.run_id;
  insert into interlock.delivery (
    dataset_id, partition, run_id, delivered_on, sequence, source_file, content_hash, fingerprint, outcome, load_id, error)
  values (feed, record_delivery.partition, record_delivery.run_id, record_delivery.delivered_on, record_delivery.sequence,
    record_delivery.source_file, record_delivery.content_hash, record_delivery.fingerprint, record_delivery.outcome,
    record_delivery.load_id, record_delivery.error);
  -- What is still to be judged is taken up only when its gate has spoken.
  if not exists (select from interlock.load l where l.load_id = record_delivery.load_id and l.state <> 'accepted') then
    perform interlock.end_late(feed, record_delivery.partition);
  end if;
end;
$$;

-- Opens a place for a delivery's lines in this transaction; where the same content is kept already, says how many lines it has.
create function interlock.open_quarantine(
  run_id bigint, token bigint, dataset text, partition text, source_file text, hash text, out quarantine_id bigint, out lines bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  feed interlock.dataset;
begin
  select * into strict feed from interlock.dataset where dataset_id = interlock.dataset_id_of(open_quarantine.dataset) and layer = 'raw';
  perform interlock.require_claim(open_quarantine.run_id, token, open_quarantine.partition, feed.domain);
  perform pg_advisory_xact_lock(hashtextextended('interlock.load.' || dataset || '.' || open_quarantine.partition, 0));
  select q.quarantine_id, q.lines into open_quarantine.quarantine_id, open_quarantine.lines
  from interlock.quarantined_delivery q
  where q.dataset_id = feed.dataset_id and q.partition = open_quarantine.partition and q.content_hash = hash;
  if not found then
    insert into interlock.quarantined_delivery as q (dataset_id, partition, run_id, source_file, content_hash)
    values (feed.dataset_id, open_quarantine.partition, open_quarantine.run_id, open_quarantine.source_file, hash)
    returning q.quarantine_id into open_quarantine.quarantine_id;
  end if;
  perform set_config('interlock.quarantine_id', open_quarantine.quarantine_id::text, true);
end;
$$;

create function interlock.close_quarantine(closing bigint, counted_lines bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update interlock.quarantined_delivery set lines = counted_lines
  where quarantine_id = closing and lines is null and opened_in = pg_current_xact_id_if_assigned();
  if not found then
    raise exception 'quarantined delivery % is not open in this transaction', closing using errcode = 'IL010';
  end if;
end;
$$;

create function interlock.refuse_closed_quarantine() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (
    select from interlock.quarantined_delivery q join interlock.dataset d on d.dataset_id = q.dataset_id
    where q.quarantine_id = current_setting('interlock.quarantine_id')::bigint and q.lines is null
      and q.opened_in = pg_current_xact_id_if_assigned() and 'raw_' || d.domain = tg_table_schema
  ) then
    raise exception 'lines may be added to %.% only by the delivery that this transaction opened', tg_table_schema, tg_table_name
      using errcode = 'IL010';
  end if;
  return null;
end;
$$;
