-- What actions do to pipelines: a domain, or one dataset of it, stands still; in a domain nothing is done by itself.

create table interlock.pause (
  pause_id bigint generated always as identity primary key,
  domain text not null,
  dataset_id integer references interlock.dataset,
  action_id bigint not null unique references interlock.action,
  paused_by text not null,
  reason text not null,
  paused_at timestamptz not null default clock_timestamp(),
  resumed_at timestamptz,
  resumed_as bigint references interlock.action
);
create unique index on interlock.pause (domain, coalesce(dataset_id, 0)) where resumed_at is null;
comment on table interlock.pause is 'Pipelines that stand still: a domain, or one dataset of it. This is what admits nothing, whoever asks.';

create table interlock.freeze (
  freeze_id bigint generated always as identity primary key,
  domain text not null,
  action_id bigint not null unique references interlock.action,
  frozen_by text not null,
  reason text not null,
  frozen_at timestamptz not null default clock_timestamp(),
  thawed_at timestamptz,
  thawed_as bigint references interlock.action
);
create unique index on interlock.freeze (domain) where thawed_at is null;
comment on table interlock.freeze is 'Domains in which nothing is done without a person; * are all of them.';

-- Whether an action has paused a dataset, its domain, or everything.
create function interlock.stands_still(d interlock.dataset) returns boolean
language sql stable
return exists (
  select from interlock.pause h
  where h.domain in (d.domain, '*') and h.resumed_at is null and coalesce(h.dataset_id, d.dataset_id) = d.dataset_id);

-- What stands in the way of a domain's runs, or of one dataset in them.
create function interlock.require_running(of_domain text, of_dataset integer default null) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  found_one interlock.pause;
  name text;
begin
  select * into found_one from interlock.pause x
  where x.resumed_at is null and x.domain in (of_domain, '*') and (x.dataset_id is null or x.dataset_id = of_dataset)
  order by x.pause_id limit 1;
  if found_one.pause_id is not null then
    name := coalesce((select d.name from interlock.dataset d where d.dataset_id = found_one.dataset_id), found_one.domain);
    raise exception '"%" is paused since % UTC by % (action %): %', name,
      to_char(found_one.paused_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), found_one.paused_by, found_one.action_id, found_one.reason
      using errcode = 'IL015', hint = format('When it may go on: interlock resume %s --reason "..."', name);
  end if;
end;
$$;

create function interlock.require_domain(a interlock.action) returns void
language plpgsql stable as $$
begin
  if cardinality(a.domains) <> 1 or not (
    a.domains[1] = '*' or exists (select from interlock.dataset d where d.domain = a.domains[1])) then
    perform interlock.refuse_action(format('there is no domain "%s"', array_to_string(a.domains, ', ')), 'See `interlock status`.');
  end if;
end;
$$;

create function interlock.require_pausable(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform interlock.require_domain(a);
  if exists (
    select from interlock.pause p
    where p.resumed_at is null and p.domain = a.domains[1] and p.dataset_id is not distinct from a.dataset_id) then
    perform interlock.refuse_action(format('"%s" is paused already', coalesce((interlock.dataset_of(a)).name, a.domains[1])), 'There is nothing to do.');
  end if;
end;
$$;

create function interlock.pause_pipeline(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action := interlock.require_executing(pause_pipeline.action_id, array['pause_pipeline']);
begin
  perform interlock.require_pausable(a);
  insert into interlock.pause (domain, dataset_id, action_id, paused_by, reason)
  values (a.domains[1], a.dataset_id, a.action_id, a.actor ->> 'name', a.rationale);
  insert into interlock.event (kind, dataset_id, actor, payload)
  values ('paused', a.dataset_id, a.actor ->> 'name', jsonb_build_object('domain', a.domains[1], 'action', a.action_id));
  return '{}';
end;
$$;

create function interlock.require_paused(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (
    select from interlock.pause p
    where p.resumed_at is null and p.domain = a.domains[1] and p.dataset_id is not distinct from a.dataset_id and p.action_id = a.undoes) then
    perform interlock.refuse_action(format('"%s" is not paused', coalesce((interlock.dataset_of(a)).name, a.domains[1])), 'There is nothing to do.');
  end if;
end;
$$;

create function interlock.resume_pipeline(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action := interlock.require_executing(resume_pipeline.action_id, array['resume_pipeline']);
begin
  perform interlock.require_paused(a);
  update interlock.pause p set resumed_at = clock_timestamp(), resumed_as = a.action_id
  where p.action_id = a.undoes and p.resumed_at is null;
  insert into interlock.event (kind, dataset_id, actor, payload)
  values ('resumed', a.dataset_id, a.actor ->> 'name', jsonb_build_object('domain', a.domains[1], 'action', a.action_id));
  return '{}';
end;
$$;

create function interlock.require_freezable(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform interlock.require_domain(a);
  if exists (select from interlock.freeze f where f.thawed_at is null and f.domain = a.domains[1]) then
    perform interlock.refuse_action(format('"%s" is frozen already', a.domains[1]), 'There is nothing to do.');
  end if;
end;
$$;

create function interlock.freeze_domain(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action := interlock.require_executing(freeze_domain.action_id, array['freeze_domain']);
begin
  perform interlock.require_freezable(a);
  insert into interlock.freeze (domain, action_id, frozen_by, reason) values (a.domains[1], a.action_id, a.actor ->> 'name', a.rationale);
  insert into interlock.event (kind, actor, payload)
  values ('frozen', a.actor ->> 'name', jsonb_build_object('domain', a.domains[1], 'action', a.action_id));
  return '{}';
end;
$$;

create function interlock.require_frozen(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from interlock.freeze f where f.thawed_at is null and f.domain = a.domains[1] and f.action_id = a.undoes) then
    perform interlock.refuse_action(format('"%s" is not frozen', a.domains[1]), 'There is nothing to do.');
  end if;
end;
$$;

create function interlock.unfreeze_domain(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action := interlock.require_executing(unfreeze_domain.action_id, array['unfreeze_domain']);
begin
  perform interlock.require_frozen(a);
  update interlock.freeze f set thawed_at = clock_timestamp(), thawed_as = a.action_id where f.action_id = a.undoes and f.thawed_at is null;
  insert into interlock.event (kind, actor, payload)
  values ('thawed', a.actor ->> 'name', jsonb_build_object('domain', a.domains[1], 'action', a.action_id));
  return '{}';
end;
$$;

-- What is paused or frozen now, for everybody who asks how things stand.
create view interlock.standstill as
select 'paused' as what, p.domain, d.name as dataset, p.paused_at as since, p.paused_by as by, p.reason, p.action_id
from interlock.pause p
left join interlock.dataset d on d.dataset_id = p.dataset_id
where p.resumed_at is null
union all
select 'frozen', f.domain, null, f.frozen_at, f.frozen_by, f.reason, f.action_id
from interlock.freeze f
where f.thawed_at is null;

grant select on interlock.pause, interlock.freeze to interlock_controller, interlock_operator, interlock_auditor;
grant select on interlock.standstill
to interlock_consumer, interlock_developer, interlock_controller, interlock_operator, interlock_auditor;
grant execute on function
  interlock.require_pausable, interlock.pause_pipeline, interlock.require_paused, interlock.resume_pipeline,
  interlock.require_freezable, interlock.freeze_domain, interlock.require_frozen, interlock.unfreeze_domain
to interlock_controller;
grant execute on function interlock.stands_still to interlock_operator;
