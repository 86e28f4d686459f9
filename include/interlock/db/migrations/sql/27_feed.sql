-- The feed of changes: whose safety may be another than it was, in the order of the commits, and told once they are
-- committed. A change stands at the position that the audit had when its transaction ended, so that whoever read a state
-- together with the audit's head knows where to go on from. What runs out by time alone is no change: answers say when.

create table interlock.change (
  position bigint not null references interlock.event (position),
  number bigint generated always as identity,
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  primary key (position, dataset_id, partition)
);
create index on interlock.change (position, number);
create trigger append_only before update or delete or truncate on interlock.change
for each statement execute function interlock.refuse_change();

-- Which transaction wrote the last event.
alter table interlock.audit_head add column written_by xid8;

create function interlock.sign_head() returns trigger
language plpgsql as $$
begin
  new.written_by := pg_current_xact_id();
  return new;
end;
$$;
create trigger sign_head before update on interlock.audit_head for each row execute function interlock.sign_head();

-- At the end of the transaction, when the last of its events is known. One without any would leave its changes at a
-- position that everybody has passed: it is given one.
create function interlock.note_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  head interlock.audit_head;
begin
  select * into strict head from interlock.audit_head;
  if head.written_by is distinct from pg_current_xact_id() then
    perform interlock.decide_alone();
    insert into interlock.event (kind, dataset_id, partition, actor)
    values ('safety_changed', new.dataset_id, new.partition, session_user);
    select * into strict head from interlock.audit_head;
  end if;
  insert into interlock.change (position, dataset_id, partition) values (head.position, new.dataset_id, new.partition)
  on conflict do nothing;
  return null;
end;
$$;
-- Everything that safety stands on but the lease and the clock is in this row, or counted there.
create constraint trigger note_first after insert on interlock.partition deferrable initially deferred for each row
when (new.version is not null or new.open_causes > 0) execute function interlock.note_change();
create constraint trigger note_change after update on interlock.partition deferrable initially deferred for each row
when ((new.version, new.verdict_id, new.withdrawn_version, new.open_causes)
  is distinct from (old.version, old.verdict_id, old.withdrawn_version, old.open_causes))
execute function interlock.note_change();

create function interlock.tell_of_events() returns trigger
language plpgsql as $$
begin
  perform pg_notify('interlock_feed', '');
  return null;
end;
$$;
create trigger tell_of_events after insert on interlock.event for each statement execute function interlock.tell_of_events();

-- What came after a place in the feed, each with how things stand now: `number` tells what came with one position apart.
-- Without a dataset it is about all of them. `domains` is who may be told; null is everybody.
create function interlock.changes(after_position bigint, after_number bigint, most integer)
returns table ("position" bigint, number bigint, domains text[], at timestamptz, kind text, dataset text, partition text,
  answer jsonb, action jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  with told as (
    select c.position, c.number, d.domain, e.at, e.kind, d.name, c.partition, null::bigint as action_id
    from interlock.change c
    join interlock.event e on e.position = c.position
    join interlock.dataset d on d.dataset_id = c.dataset_id
    where (c.position, c.number) > (after_position, after_number)
    union all
    select e.position, 0, d.domain, e.at, e.kind, d.name, e.partition, (e.payload ->> 'action')::bigint
    from interlock.event e
    left join interlock.dataset d on d.dataset_id = e.dataset_id
    where e.position > after_position  -- an event comes before the changes that stand at its position
      and (e.kind ~ '^action_(proposed|decided|answered|approved|executed|rolled_back|rejected|expired|failed|invalidated)$'
        or e.kind in ('retired', 'restored', 'contract_activated', 'waived', 'waiver_revoked', 'leases_renewed', 'clock_set', 'clock_cleared'))
    order by 1, 2
    limit most
  )
  select t.position, t.number,
    case when t.kind like 'action\_%' and t.number = 0 then a.domains when t.domain is not null then array[t.domain] end,
    t.at, t.kind, t.name, t.partition,
    case when t.name is not null and not (t.kind like 'action\_%' and t.number = 0) then interlock.ask(t.name, t.partition) end,
    case when t.kind like 'action\_%' and t.number = 0
      then jsonb_build_object('action_id', a.action_id, 'kind', a.kind, 'state', a.state) end
  from told t
  left join interlock.action a on a.action_id = t.action_id and t.kind like 'action\_%' and t.number = 0
  order by 1, 2;
end;
$$;

grant execute on function interlock.changes to interlock_operator;
grant select on interlock.change to interlock_operator, interlock_auditor;
