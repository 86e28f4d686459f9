-- The policy: every bundle that was ever recorded, whole, and which one decides. What lies in a checkout decides nothing.

-- The revision of a bundle: the hash of the names and texts of its files, each with its length before it. The same as
-- control/bundles.py computes, so that neither side takes the other's word for it.
create function interlock.policy_revision(content jsonb) returns text
language sql immutable parallel safe
return (
  select encode(sha256(string_agg(
    int8send(length(f.name)) || f.name || int8send(length(f.text)) || f.text, ''::bytea order by f.name)), 'hex')
  from (
    select convert_to(key, 'UTF8') as name, convert_to(value, 'UTF8') as text from jsonb_each_text(content)
  ) as f);

create table interlock.policy_bundle (
  revision text primary key check (revision ~ '^[0-9a-f]{64}$'),
  content jsonb not null,
  recorded_at timestamptz not null default clock_timestamp(),
  recorded_by text not null check (recorded_by <> ''),
  constraint revision_is_the_hash_of_the_content check (revision = interlock.policy_revision(content))
);
comment on column interlock.policy_bundle.content is 'Its files: text by name, as they lay below include/policies.';
create trigger append_only before update or delete or truncate on interlock.policy_bundle
for each statement execute function interlock.refuse_change();

create table interlock.active_policy (
  only_row boolean primary key default true check (only_row),
  revision text not null references interlock.policy_bundle,
  action_id bigint references interlock.action,
  since timestamptz not null default clock_timestamp()
);
comment on table interlock.active_policy is
  'The bundle that decides; none before the first decision. The events `policy_activated` are its history.';
comment on column interlock.active_policy.action_id is 'The action that activated it; null is the first one, which no policy could allow.';

-- Keeps a bundle that may be proposed; one that is kept already changes nothing.
create function interlock.record_policy(revision text, content jsonb, actor text) returns void
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
  insert into interlock.policy_bundle (revision, content, recorded_by)
  values (record_policy.revision, record_policy.content, actor)
  on conflict do nothing;
end;

create function interlock.put_policy(new_revision text, of_action bigint, actor text) returns text
language plpgsql as $$
declare
  former text := (select p.revision from interlock.active_policy p);
begin
  insert into interlock.active_policy (revision, action_id) values (new_revision, of_action)
  on conflict (only_row) do update set revision = excluded.revision, action_id = excluded.action_id, since = default;
  insert into interlock.event (kind, actor, payload)
  values ('policy_activated', actor, jsonb_build_object(
    'revision', new_revision, 'former', former, 'action', of_action, 'is_first', former is null));
  return former;
end;
$$;

-- The first policy of a platform that has none: nothing could allow an action before it.
create function interlock.begin_policy(revision text, actor text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  is_active text;
begin
  perform interlock.decide_alone();
  select p.revision into is_active from interlock.active_policy p;
  if is_active is not null then
    raise exception 'the policy % is active already', left(is_active, 12)
      using errcode = 'IL017', hint = 'From now on: interlock policy activate --reason "..."';
  end if;
  perform interlock.put_policy(begin_policy.revision, null, actor);
end;
$$;

create function interlock.require_activatable(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  wanted text := a.parameters ->> 'revision';
  now_active interlock.active_policy;
begin
  select * into now_active from interlock.active_policy;
  if not exists (select from interlock.policy_bundle b where b.revision = wanted) then
    raise exception 'no policy of the revision "%" was ever recorded', coalesce(wanted, '')
      using errcode = 'IL017', hint = '`interlock policy activate` records that of the checkout, and proposes it.';
  elsif now_active.revision = wanted then
    raise exception 'the policy % is active already', left(wanted, 12) using errcode = 'IL017', hint = 'There is nothing to do.';
  elsif now_active.revision <> a.parameters ->> 'former' or now_active.action_id <> a.undoes
    or (a.undoes is not null and now_active.action_id is null) then
    raise exception 'another policy was activated since: %', left(now_active.revision, 12)
      using errcode = 'IL017', hint = 'Look at `interlock policy diff`, and propose it again.';
  end if;
end;
$$;

create function interlock.activate_policy(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action := interlock.require_executing(activate_policy.action_id, array['activate_policy']);
begin
  perform interlock.decide_alone();
  perform interlock.require_activatable(a);
  return jsonb_build_object('former', interlock.put_policy(a.parameters ->> 'revision', a.action_id, a.actor ->> 'name'));
end;
$$;

grant select on interlock.policy_bundle, interlock.active_policy to interlock_operator, interlock_controller, interlock_auditor;
grant execute on function interlock.record_policy, interlock.begin_policy to interlock_operator, interlock_controller;
grant execute on function interlock.require_activatable, interlock.activate_policy to interlock_controller;
