-- The audit: every event stands on the hash of the one before it, so that a changed, removed, moved or inserted one shows.

create table interlock.audit_head (
  only_row boolean primary key default true check (only_row),
  position bigint not null,
  hash bytea not null
);
insert into interlock.audit_head (position, hash) values (0, decode(repeat('00', 32), 'hex'));
comment on table interlock.audit_head is 'The last event of the chain. Its copies outside the database show a tail that was cut.';

alter table interlock.event
  add column position bigint not null,
  add column previous bytea not null,
  add column hash bytea not null,
  add constraint one_chain unique (position);

-- JSON in one spelling: keys in order, no blanks; numbers as PostgreSQL writes them. What `jq -cS` prints.
create function interlock.canonical_json(value jsonb) returns text
language plpgsql immutable parallel safe as $$
begin
  return case jsonb_typeof(value)
    when 'object' then (
      select '{' || coalesce(string_agg(to_json(key)::text || ':' ||
        case when jsonb_typeof(item) in ('object', 'array') then interlock.canonical_json(item) else item::text end,
        ',' order by key collate "C"), '') || '}'
      from jsonb_each(value) as entry (key, item))
    when 'array' then (
      select '[' || coalesce(string_agg(
        case when jsonb_typeof(item) in ('object', 'array') then interlock.canonical_json(item) else item::text end,
        ',' order by place), '') || ']'
      from jsonb_array_elements(value) with ordinality as entry (item, place))
    else value::text
  end;
end;
$$;

-- An event as everybody may see it, its keys in order. Its hash is that of this text.
create function interlock.event_document(of interlock.event) returns text
language plpgsql stable as $$
begin
  return '{"actor":' || to_json(of.actor)
    || ',"at":"' || to_char(of.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    || '","dataset":' || coalesce((select to_json(d.name)::text from interlock.dataset d where d.dataset_id = of.dataset_id), 'null')
    || ',"id":' || of.event_id
    || ',"kind":' || to_json(of.kind)
    || ',"partition":' || coalesce(to_json(of.partition)::text, 'null')
    || ',"payload":' || interlock.canonical_json(of.payload)
    || ',"position":' || of.position
    || ',"previous":"' || encode(of.previous, 'hex')
    || '","run":' || coalesce(of.run_id::text, 'null') || '}';
end;
$$;

-- Events are chained in the order of their commits: who appends one has the lock of all decisions first, then the head.
create function interlock.chain_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  head interlock.audit_head;
begin
  perform interlock.decide_alone();
  select * into strict head from interlock.audit_head for update;
  new.position := head.position + 1;
  new.previous := head.hash;
  new.at := clock_timestamp();
  new.hash := sha256(convert_to(interlock.event_document(new), 'UTF8'));
  update interlock.audit_head set position = new.position, hash = new.hash;
  return new;
end;
$$;
create trigger chain_event before insert on interlock.event
for each row execute function interlock.chain_event();

create view interlock.audit_trail as
select
  e.actor, to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, d.name as dataset, e.event_id as id, e.kind,
  e.partition, e.payload::text as payload, e.position, encode(e.previous, 'hex') as previous, e.run_id as run, encode(e.hash, 'hex') as hash
from interlock.event e
left join interlock.dataset d on d.dataset_id = e.dataset_id;

grant select on interlock.audit_trail, interlock.audit_head to interlock_operator, interlock_auditor;
