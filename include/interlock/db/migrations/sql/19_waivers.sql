-- Waivers: for a limited time, and on somebody's word, one named consumer may read partitions that are not safe, in
-- `waived.<dataset>` alone. A waiver changes nothing about safety, names one version, and lapses by itself.

grant usage, create on schema waived to interlock_waived_reader;
grant usage on schema staged, curated to interlock_waived_reader;
grant usage on schema waived to interlock_consumer;

create table interlock.waiver (
  waiver_id bigint generated always as identity primary key,
  action_id bigint not null unique references interlock.action,
  dataset_id integer not null references interlock.dataset,
  partitions text[] not null check (cardinality(partitions) > 0),
  version bigint not null,
  consumer text not null,
  reason text not null,
  granted_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_by bigint references interlock.action,
  foreign key (version, dataset_id) references interlock.version (version, dataset_id),
  check (expires_at > granted_at),
  check (num_nulls(revoked_at, revoked_by) in (0, 2))
);
create index on interlock.waiver (dataset_id, consumer, expires_at) where revoked_at is null;
create index on interlock.waiver (version) where revoked_at is null;
create trigger append_only before delete or truncate on interlock.waiver
for each statement execute function interlock.refuse_change();
comment on column interlock.waiver.consumer is 'A database role: whoever has logged in as it, or may act as it.';
comment on column interlock.waiver.expires_at is 'In real time, whatever the clock is set to.';

-- What who may read now: of the versions that waivers name, those that are served.
create view interlock.waived_partition as
select w.*, p.partition, p.starts_on, p.lies_in, p.attachment
from interlock.waiver w
join interlock.partition p on p.dataset_id = w.dataset_id and p.partition = any (w.partitions) and p.version = w.version
join interlock.dataset d on d.dataset_id = w.dataset_id
where w.revoked_at is null and w.expires_at > clock_timestamp() and d.retired_at is null;

-- As `served_tables`, for one reader: where the rows of each day lie that they hold a waiver for.
create function interlock.waived_tables(of_dataset integer, reader text) returns oid[]
language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
declare
  waived record;
  tables oid[];
begin
  for waived in
    select w.starts_on - date 'epoch' as day, w.lies_in from interlock.waived_partition w
    where w.dataset_id = of_dataset and w.consumer = reader and w.starts_on is not null
  loop
    tables[waived.day] := waived.lies_in;
  end loop;
  return tables;
end;
$$;

-- As `served_version`, for one reader.
create function interlock.waived_version(of_dataset integer, reader text) returns bigint
language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (
    select w.version from interlock.waived_partition w
    where w.dataset_id = of_dataset and w.consumer = reader and w.partition = 'all' limit 1);
end;
$$;

-- As `unknown_rows`: a version may be published, found bad and waived while a transaction holds on to an older plan.
create function interlock.unknown_waived_rows(shape anyelement, of_dataset integer, known bigint, reader text)
returns setof anyelement
language plpgsql stable parallel safe rows 1 security definer set search_path = pg_catalog, pg_temp as $$
begin
  if exists (
    select from interlock.waived_partition w
    where w.dataset_id = of_dataset and w.consumer = reader and w.attachment > known)
  then
    raise exception 'what is read was published anew after this statement was planned' using errcode = '40001',
      hint = 'Run it again; in a transaction that is open, with a prepared statement: run the transaction again.';
  end if;
end;
$$;

-- `waived.<dataset>` beside `safe.<dataset>`, made as that one is (see `create_home`): of the same tables, past another policy.
-- It asks for whoever reads: the owner of a view is who its tables are read as, and `current_user` stays the reader.
create function interlock.create_waived_view(d interlock.dataset) returns void
language plpgsql as $$
begin
  execute format(
    'create policy waived on %I.%I for select to interlock_waived_reader using (' || case d.grain when 'day' then
      'coalesce(tableoid = (select interlock.waived_tables(%s, current_user))[%I - date ''epoch''], false)'
    else
      '_version = (select interlock.waived_version(%s, current_user))'
    end || ')', d.layer, d.name, d.dataset_id, d.partition_column);
  execute format('grant select on %I.%I to interlock_waived_reader', d.layer, d.name);
  execute format(
    'create view waived.%1$I as select %2$s from ('
    ' select * from interlock.unknown_waived_rows(null::%3$I.%1$I, %4$s, interlock.known_attachments(), current_user)'
    ' union all select * from %3$I.%1$I) as rows' || case d.grain when 'all' then
      ' where _version = (select interlock.waived_version(%4$s, current_user))' else '' end,
    d.name, interlock.column_list(d.columns, false), d.layer, d.dataset_id);
  execute format('alter view waived.%I owner to interlock_waived_reader', d.name);
  execute format('grant select on waived.%I to interlock_consumer', d.name);
end;
$$;

-- A waiver is for one name: a login of its own that may do what consumers may, and nothing that is shared among several.
create function interlock.is_consumer(named text) returns boolean
language sql stable
return exists (
  select from pg_roles r
  where r.rolname = named and r.rolcanlogin and not r.rolsuper and r.rolname not like 'interlock\_%'
    and pg_has_role(r.oid, 'interlock_consumer', 'usage'));

create function interlock.require_waivable(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset := interlock.dataset_of(a);
  consumer text := a.parameters ->> 'consumer';
  hours text := a.parameters ->> 'lasts_hours';
  part text;
  served bigint;
begin
  if d.layer = 'raw' or d.retired_at is not null then
    perform interlock.refuse_action(
      format('"%s" is %s: no consumer reads it', d.name, case when d.layer = 'raw' then 'a feed' else 'retired' end),
      'A waiver is for staged and curated datasets that are in use.');
  elsif not coalesce(interlock.is_consumer(consumer), false) then
    perform interlock.refuse_action(format('"%s" is no consumer with a login of its own', consumer),
      'See `interlock consumer list`; `interlock consumer create NAME` makes one.');
  elsif not coalesce(hours ~ '^[1-9]\d{0,4}$', false) then
    perform interlock.refuse_action(format('a waiver lasts some whole hours, not %s', coalesce(hours, 'for ever')), 'Say how many.');
  end if;
  foreach part in array a.partitions loop
    served := (select p.version from interlock.partition p where p.dataset_id = a.dataset_id and p.partition = part);
    if served is null or served is distinct from a.version then
      perform interlock.refuse_action(
        format('"%s" partition %s does not serve version %s%s', d.name, part, coalesce(a.version::text, 'of any number'),
          coalesce(format(': version %s is served', served), '')),
        'A waiver is for the version that is served: what never was, or no longer is, nobody may read.');
    elsif interlock.is_partition_safe(a.dataset_id, part) then
      perform interlock.refuse_action(format('"%s" partition %s is safe: it needs no waiver', d.name, part),
        format('Every consumer reads it in safe.%s.', d.name));
    end if;
  end loop;
end;
$$;

create function interlock.grant_waiver(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action := interlock.require_executing(grant_waiver.action_id, array['waive']);
  w interlock.waiver;
begin
  perform interlock.require_waivable(a);
  insert into interlock.waiver as x (action_id, dataset_id, partitions, version, consumer, reason, expires_at)
  values (a.action_id, a.dataset_id, a.partitions, a.version, a.parameters ->> 'consumer', a.rationale,
    clock_timestamp() + make_interval(hours => (a.parameters ->> 'lasts_hours')::integer))
  returning x.* into w;
  perform interlock.tell_waiver(a, w, 'waived', jsonb_build_object('expires_at', w.expires_at));
  return jsonb_build_object('waiver', w.waiver_id, 'consumer', w.consumer, 'expires_at', w.expires_at);
end;
$$;

create function interlock.require_revocable(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  w interlock.waiver;
begin
  select * into w from interlock.waiver x where x.action_id = a.undoes;
  if (w.dataset_id, w.partitions, w.version) is distinct from (a.dataset_id, a.partitions, a.version) then
    perform interlock.refuse_action(format('action %s did not waive that', coalesce(a.undoes::text, 'of any number')),
      'A waiver is revoked as a whole, for the version that it names.');
  elsif w.revoked_at is not null or w.expires_at <= clock_timestamp() then
    perform interlock.refuse_action(
      format('the waiver of action %s %s at %s UTC', a.undoes, case when w.revoked_at is null then 'ran out' else 'was revoked' end,
        to_char(coalesce(w.revoked_at, w.expires_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI')),
      'There is nothing left to revoke.');
  end if;
end;
$$;

-- The way back is another waiver: for the hours that were left, begun ones included.
create function interlock.revoke_waiver(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action := interlock.require_executing(revoke_waiver.action_id, array['revoke_waiver']);
  w interlock.waiver;
begin
  perform interlock.require_revocable(a);
  update interlock.waiver x set revoked_at = clock_timestamp(), revoked_by = a.action_id where x.action_id = a.undoes
  returning x.* into strict w;
  perform interlock.tell_waiver(a, w, 'waiver_revoked', '{}');
  return jsonb_build_object('waiver', w.waiver_id, 'consumer', w.consumer,
    'hours_left', ceil(extract(epoch from w.expires_at - w.revoked_at) / 3600)::integer);
end;
$$;

create function interlock.tell_waiver(a interlock.action, w interlock.waiver, kind text, details jsonb) returns void
language sql
begin atomic
  insert into interlock.event (kind, dataset_id, partition, actor, payload)
  select tell_waiver.kind, a.dataset_id, part, a.actor ->> 'name',
    jsonb_build_object('version', w.version, 'consumer', w.consumer, 'action', a.action_id) || details
  from unnest(w.partitions) as part;
end;

-- Who reads `safe` under a name of their own, and how many waivers they hold.
create view interlock.consumer_login as
select r.rolname::text as name, shobj_description(r.oid, 'pg_authid') as remark, (
  select count(*) from interlock.waiver w where w.consumer = r.rolname and w.revoked_at is null and w.expires_at > clock_timestamp()
) as waivers
from pg_roles r
where interlock.is_consumer(r.rolname);

grant select on interlock.waiver, interlock.waived_partition, interlock.consumer_login
to interlock_operator, interlock_auditor, interlock_controller;
grant execute on function interlock.is_consumer to interlock_operator, interlock_auditor, interlock_controller;
-- Whoever reads `interlock.safety`.
grant execute on function interlock.waiver_of to interlock_consumer, interlock_developer, interlock_operator, interlock_controller,
  interlock_auditor, interlock_loader, interlock_builder, interlock_gate, interlock_publisher;
grant execute on function interlock.waived_tables, interlock.waived_version, interlock.unknown_waived_rows to interlock_consumer;
grant execute on function interlock.require_waivable, interlock.grant_waiver, interlock.require_revocable, interlock.revoke_waiver
to interlock_controller;
