-- Actions: the record and the state machine of control. Every step is one row's compare-and-set and one event, together; what
-- an action does to the data happens in the very transaction that marks it executed, or not at all.

create table interlock.action_transition (
  from_state text not null,
  to_state text not null,
  primary key (from_state, to_state)
);
insert into interlock.action_transition (from_state, to_state) values
  ('proposed', 'approved'), ('proposed', 'rejected'), ('proposed', 'expired'), ('proposed', 'invalidated'),
  ('approved', 'executed'), ('approved', 'failed'), ('approved', 'expired'), ('approved', 'invalidated'),
  ('executed', 'rolled_back');
comment on table interlock.action_transition is 'Every way that an action may go. What is not listed is refused.';

create table interlock.action (
  action_id bigint generated always as identity primary key,
  key text not null unique check (key <> ''),
  kind text not null,
  state text not null default 'proposed' check (state in (
    'proposed', 'approved', 'executed', 'rolled_back', 'rejected', 'expired', 'failed', 'invalidated')),
  domains text[] not null check (cardinality(domains) > 0),
  dataset_id integer references interlock.dataset,
  partitions text[] not null,
  version bigint references interlock.version,
  parameters jsonb not null,
  rationale text not null check (btrim(rationale) <> ''),
  actor jsonb not null,
  radius jsonb not null,
  undoes bigint references interlock.action,
  decision jsonb,
  proposed_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null default clock_timestamp() + interval '24 hours',
  decided_at timestamptz,
  executed_at timestamptz,
  executed_in xid8,
  result jsonb not null default '{}',
  failure text,
  check (cardinality(partitions) = 0 or dataset_id is not null),
  check ((state in ('executed', 'rolled_back')) = (executed_at is not null)),
  check (decided_at is not null or state not in ('approved', 'executed', 'rolled_back')),
  check (state not in ('approved', 'executed', 'rolled_back') or coalesce((decision ->> 'allow')::boolean, false))
);
comment on column interlock.action.key is 'Idempotency key: proposed again under it, it is this action.';
comment on column interlock.action.actor is 'Who proposed it, with the rights that they had then.';
comment on column interlock.action.executed_in is 'The transaction that executes it; null again once it is done.';
comment on column interlock.action.undoes is 'The executed action that this one takes back.';
comment on column interlock.action.failure is 'Why nothing came of it, where nothing did.';
create index on interlock.action (state) where state in ('proposed', 'approved');
create index on interlock.action (proposed_at);
create index on interlock.action (kind, dataset_id) where state = 'executed';

create table interlock.action_key (
  key text primary key,
  action_id bigint not null references interlock.action
);
comment on table interlock.action_key is 'Every key under which an action was proposed: of two who want the same at once, both find it.';
create trigger append_only before update or delete or truncate on interlock.action_key
for each statement execute function interlock.refuse_change();

create function interlock.guard_action() returns trigger
language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    if new.state <> 'proposed' or new.decision is not null then
      raise exception 'an action begins as a proposal' using errcode = 'IL016';
    end if;
    return new;
  end if;
  if new.state <> old.state
    and not exists (select from interlock.action_transition t where t.from_state = old.state and t.to_state = new.state) then
    raise exception 'action % cannot go from % to %', old.action_id, old.state, new.state using errcode = 'IL016';
  end if;
  if (new.key, new.kind, new.domains, new.dataset_id, new.partitions, new.version, new.parameters, new.rationale, new.actor,
      new.radius, new.undoes, new.proposed_at) is distinct from
    (old.key, old.kind, old.domains, old.dataset_id, old.partitions, old.version, old.parameters, old.rationale, old.actor,
      old.radius, old.undoes, old.proposed_at) then
    raise exception 'what action % is about cannot be changed', old.action_id using errcode = 'IL010';
  end if;
  return new;
end;
$$;
create trigger guard_action before insert or update on interlock.action
for each row execute function interlock.guard_action();

-- Nobody can commit an action as executed that was not carried through: see `end_execution`.
create function interlock.require_ended() returns trigger
language plpgsql as $$
begin
  if exists (select from interlock.action a where a.action_id = new.action_id and a.executed_in is not null) then
    raise exception 'action % was begun and not ended in this transaction', new.action_id using errcode = 'IL016';
  end if;
  return null;
end;
$$;
create constraint trigger require_ended after update of executed_in on interlock.action
deferrable initially deferred for each row when (new.executed_in is not null) execute function interlock.require_ended();

create trigger append_only before delete or truncate on interlock.action
for each statement execute function interlock.refuse_change();
create trigger append_only before insert or update or delete or truncate on interlock.action_transition
for each statement execute function interlock.refuse_change();

create table interlock.action_evidence (
  action_id bigint not null references interlock.action,
  ref text not null,
  fact jsonb not null,
  attached_at timestamptz not null default clock_timestamp(),
  primary key (action_id, ref)
);
create trigger append_only before update or delete or truncate on interlock.action_evidence
for each statement execute function interlock.refuse_change();

create table interlock.action_answer (
  answer_id bigint generated always as identity primary key,
  action_id bigint not null references interlock.action,
  person text not null,
  actor jsonb not null,
  answer text not null check (answer in ('approve', 'reject')),
  reason text not null,
  via text not null,
  at timestamptz not null default clock_timestamp(),
  unique (action_id, person)
);
comment on table interlock.action_answer is 'One answer for each person, whichever door it came through: the first one stands.';
create trigger append_only before update or delete or truncate on interlock.action_answer
for each statement execute function interlock.refuse_change();

-- Decisions are made one after another: each one counts the actions before it. Taken before `decide_alone`, never after.
create function interlock.control_alone() returns void
language plpgsql as $$
begin
  perform set_config('lock_timeout', '60s', true);
  perform pg_advisory_xact_lock(hashtextextended('interlock.control', 0));
end;
$$;

create function interlock.tell_action(a interlock.action, kind text, doer text, details jsonb) returns void
language plpgsql as $$
begin
  perform interlock.decide_alone();
  insert into interlock.event (kind, dataset_id, partition, actor, payload)
  values (tell_action.kind, a.dataset_id, case when cardinality(a.partitions) = 1 then a.partitions[1] end, doer,
    jsonb_build_object('action', a.action_id, 'kind', a.kind) || details);
end;
$$;

-- Facts about a proposal; those that are there already change nothing.
create function interlock.attach_evidence(to_action bigint, facts jsonb, doer text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action;
  added jsonb;
begin
  select * into strict a from interlock.action x where x.action_id = to_action;
  with fresh as (
    insert into interlock.action_evidence (action_id, ref, fact)
    select to_action, f ->> 'ref', f from jsonb_array_elements(facts) f
    on conflict do nothing
    returning fact
  )
  select jsonb_agg(fresh.fact) into added from fresh;
  if added is not null then
    perform interlock.tell_action(a, 'action_evidence', doer, jsonb_build_object('evidence', added));
  end if;
end;
$$;

-- Enters a proposal, or finds it: by its key, or because the same thing is open already.
create function interlock.propose_action(definition jsonb, facts jsonb, out action_id bigint, out is_new boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  wanted interlock.action := jsonb_populate_record(null::interlock.action, definition);
  found_one interlock.action;
  known bigint;
  doer text := definition #>> '{actor,name}';
begin
  perform interlock.control_alone();
  known := (select k.action_id from interlock.action_key k where k.key = wanted.key);
  select * into found_one from interlock.action x
  where x.action_id = known or (
    x.state in ('proposed', 'approved') and x.kind = wanted.kind and x.domains = wanted.domains
    and x.dataset_id is not distinct from wanted.dataset_id and x.partitions = wanted.partitions
    and x.version is not distinct from wanted.version and x.parameters = wanted.parameters
    and x.undoes is not distinct from wanted.undoes)
  order by x.action_id <> coalesce(known, 0) limit 1;
  if found_one.action_id is not null then
    if known is not null and (found_one.kind, found_one.domains, found_one.dataset_id, found_one.partitions) is distinct from
      (wanted.kind, wanted.domains, wanted.dataset_id, wanted.partitions) then
      raise exception 'the key "%" is that of action %, which is another one: % of %', wanted.key, found_one.action_id, found_one.kind,
        array_to_string(found_one.domains, ', ') using errcode = 'IL016', hint = 'Give each action a key of its own.';
    end if;
    action_id := found_one.action_id;
    is_new := false;
  elsif wanted.undoes is not null and not exists (
    select from interlock.action x
    where x.action_id = wanted.undoes and x.domains = wanted.domains and x.dataset_id is not distinct from wanted.dataset_id
      and x.partitions = wanted.partitions) then
    raise exception 'action % is not about just what this one would take back', wanted.undoes using errcode = 'IL016',
      hint = format('An action is taken back whole: interlock action rollback %s', wanted.undoes);
  else
    insert into interlock.action as x (key, kind, domains, dataset_id, partitions, version, parameters, rationale, actor, radius, undoes)
    values (wanted.key, wanted.kind, wanted.domains, wanted.dataset_id, wanted.partitions, wanted.version, wanted.parameters,
      wanted.rationale, wanted.actor, wanted.radius, wanted.undoes)
    returning x.* into found_one;
    action_id := found_one.action_id;
    is_new := true;
    perform interlock.tell_action(found_one, 'action_proposed', doer, jsonb_build_object(
      'rationale', wanted.rationale, 'actor', wanted.actor, 'partitions', to_jsonb(wanted.partitions), 'version', wanted.version,
      'parameters', wanted.parameters, 'radius', wanted.radius, 'undoes', wanted.undoes));
  end if;
  insert into interlock.action_key (key, action_id) values (wanted.key, propose_action.action_id) on conflict do nothing;
  perform interlock.attach_evidence(action_id, facts, doer);
end;
$$;

-- What the policy said, each time that it said something else.
create function interlock.record_decision(of_action bigint, decided jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action;
begin
  select * into strict a from interlock.action x where x.action_id = of_action for update;
  update interlock.action x
  set decision = decided,
    expires_at = case when decided #>> '{caps,approval_hours}' is not null and a.state = 'proposed'
      then a.proposed_at + make_interval(hours => (decided #>> '{caps,approval_hours}')::integer) else a.expires_at end
  where x.action_id = of_action;
  if a.decision is distinct from decided then
    perform interlock.tell_action(a, 'action_decided', 'policy', jsonb_build_object('decision', decided));
  end if;
end;
$$;

-- The one way from a state to another: for whoever finds it in the state that it is believed to be in.
create function interlock.move_action(of_action bigint, expected text, wanted text, doer text, details jsonb default '{}')
returns interlock.action
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action;
begin
  if wanted in ('executed', 'rolled_back') then
    raise exception 'an action becomes % by its execution alone', wanted using errcode = 'IL016';
  end if;
  return interlock.step(of_action, expected, wanted, doer, details);
end;
$$;

create function interlock.step(of_action bigint, expected text, wanted text, doer text, details jsonb) returns interlock.action
language plpgsql as $$
declare
  a interlock.action;
begin
  perform interlock.decide_alone();
  update interlock.action x set state = wanted,
    decided_at = coalesce(x.decided_at, clock_timestamp()),
    executed_at = case when wanted = 'executed' then clock_timestamp() else x.executed_at end,
    executed_in = case when wanted = 'executed' then pg_current_xact_id() end,
    failure = coalesce(details ->> 'failure', case when wanted in ('rejected', 'expired', 'invalidated') then details ->> 'reason' end)
  where x.action_id = of_action and x.state = expected
  returning x.* into a;
  if a.action_id is null then
    raise exception 'action % is %, not %', of_action,
      coalesce((select x.state from interlock.action x where x.action_id = of_action), 'unknown'), expected using errcode = 'IL016',
      hint = format('See `interlock action show %s`.', of_action);
  end if;
  perform interlock.tell_action(a, 'action_' || wanted, doer, details);
  return a;
end;
$$;

-- One person's answer. The same answer again is the first one; another one comes too late.
create function interlock.answer_action(of_action bigint, actor jsonb, verb text, reason text, via text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action;
  given interlock.action_answer;
  doer text := actor ->> 'name';
begin
  perform interlock.control_alone();
  select * into a from interlock.action x where x.action_id = of_action for update;
  select * into given from interlock.action_answer x where x.action_id = of_action and x.person = lower(doer);
  if given.answer_id is not null then
    if given.answer <> verb then
      raise exception '% has answered action % before: %, at % UTC', doer, of_action, given.answer,
        to_char(given.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') using errcode = 'IL016', hint = 'The first answer stands.';
    end if;
    return false;
  end if;
  if a.state is distinct from 'proposed' or a.expires_at <= clock_timestamp() then
    raise exception 'action % takes no answers: it is %', of_action,
      case when a.state = 'proposed' then 'expired' else coalesce(a.state, 'unknown') end using errcode = 'IL016',
      hint = format('See `interlock action show %s`.', of_action);
  end if;
  insert into interlock.action_answer (action_id, person, actor, answer, reason, via)
  values (of_action, lower(doer), answer_action.actor, verb, answer_action.reason, answer_action.via);
  perform interlock.tell_action(a, 'action_answered', doer,
    jsonb_build_object('answer', verb, 'reason', reason, 'via', via, 'actor', actor));
  return true;
end;
$$;

-- Begins to execute, alone: what follows in this transaction is what the action does, and commits with it.
create function interlock.begin_execution(of_action bigint, doer text) returns interlock.action
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform set_config('synchronous_commit', 'on', true);
  return interlock.step(of_action, 'approved', 'executed', doer, '{}');
end;
$$;

-- The action that this transaction executes. Every effect begins with it, and reads from it all that it is to do.
create function interlock.require_executing(of_action bigint, kinds text[]) returns interlock.action
language plpgsql as $$
declare
  a interlock.action;
begin
  select * into a from interlock.action x
  where x.action_id = of_action and x.state = 'executed' and x.executed_in = pg_current_xact_id_if_assigned() and x.kind = any (kinds);
  if a.action_id is null then
    raise exception 'action % is not being executed here as %', of_action, array_to_string(kinds, ' or ') using errcode = 'IL016',
      hint = 'Actions are carried out by `interlock action execute` alone, after a policy allowed them.';
  end if;
  return a;
end;
$$;

-- Ends the execution with what it left for the way back; an action that this one undoes is rolled back with it.
create function interlock.end_execution(of_action bigint, doer text, result jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action;
begin
  update interlock.action x set result = coalesce(end_execution.result, '{}'), executed_in = null
  where x.action_id = of_action and x.executed_in = pg_current_xact_id_if_assigned() returning x.* into a;
  if a.action_id is null then
    raise exception 'action % is not being executed here', of_action using errcode = 'IL016';
  end if;
  if a.undoes is not null then
    perform interlock.step(a.undoes, 'executed', 'rolled_back', doer, jsonb_build_object('by_action', of_action));
  end if;
end;
$$;

grant select on all tables in schema interlock to interlock_controller;
grant select on interlock.action, interlock.action_transition, interlock.action_evidence, interlock.action_answer
to interlock_operator, interlock_auditor;
grant execute on function interlock.control_alone, interlock.propose_action, interlock.attach_evidence, interlock.record_decision,
  interlock.move_action, interlock.answer_action, interlock.begin_execution, interlock.end_execution, interlock.dataset_id_of,
  interlock.now, interlock.ask, interlock.is_safe
to interlock_controller;
