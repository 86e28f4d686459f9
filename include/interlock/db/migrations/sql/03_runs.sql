-- Runs, their phases, and the leases that keep two of them from one partition.

create table interlock.run (
  run_id bigint generated always as identity primary key,
  run_key text not null,
  domain text not null,
  partitions text[] not null,
  trigger text not null,
  actor text not null,
  token bigint not null,
  state text not null default 'running' check (state in ('running', 'succeeded', 'failed', 'refused')),
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  message text,
  check (cardinality(partitions) > 0 or state = 'refused')
);
create index on interlock.run (run_key, run_id desc);
comment on column interlock.run.run_key is 'Idempotency key: an orchestrator''s run, or one call of the command line.';

create table interlock.phase (
  phase_id bigint generated always as identity primary key,
  run_id bigint not null references interlock.run,
  phase text not null,
  state text not null check (state in ('started', 'completed', 'failed')),
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  rows bigint,
  failure_class text,
  message text
);
create index on interlock.phase (run_id);

-- How many rows a phase built or published, as far as it has come; null where it did neither.
create function interlock.rows_of(of_phase interlock.phase) returns bigint
language plpgsql stable as $$
declare
  until timestamptz := coalesce(of_phase.finished_at, 'infinity');
  of_layer text := case when of_phase.phase in ('stage', 'publish_staged') then 'staged' else 'curated' end;
begin
  if of_phase.phase in ('stage', 'build') then
    return (
      select sum(v.rows) from interlock.version v join interlock.dataset d on d.dataset_id = v.dataset_id
      where v.run_id = of_phase.run_id and v.sealed_at between of_phase.started_at and until and d.layer = of_layer);
  elsif of_phase.phase in ('publish_staged', 'publish_curated') then
    return (
      select sum(c.rows)
      from interlock.version v
      join interlock.dataset d on d.dataset_id = v.dataset_id
      join interlock.version_partition c on c.version = v.version
      join interlock.partition p on p.dataset_id = v.dataset_id and p.partition = c.partition and p.version = v.version
      where v.run_id = of_phase.run_id and p.published_by = of_phase.run_id
        and p.published_at between of_phase.started_at and until and d.layer = of_layer);
  end if;
  return null;
end;
$$;

create sequence interlock.fencing_token;

create table interlock.claim (
  domain text not null,
  partition text not null,
  run_id bigint not null references interlock.run,
  token bigint not null,
  expires_at timestamptz not null,
  backend_pid integer,
  primary key (domain, partition)
);
comment on table interlock.claim is
  'Who may write a partition of a domain now. Judged by real time, never by a set clock.';
comment on column interlock.claim.backend_pid is
  'A connection that lives as long as its run: once it is gone, the claim is free before it expires.';

create index on interlock.claim (run_id);

-- Whether somebody still holds a claim: its lease runs and, where it is bound to a connection, that one lives.
create function interlock.is_held(c interlock.claim) returns boolean
language sql volatile
return c.expires_at > clock_timestamp()
  and (c.backend_pid is null or exists (select from pg_stat_get_activity(c.backend_pid)));

create function interlock.refuse_held(c interlock.claim) returns void
language plpgsql as $$
declare
  holder interlock.run;
begin
  select * into strict holder from interlock.run r where r.run_id = c.run_id;
  raise exception 'partition % of "%" is held by run % (% by %) until %',
    c.partition, c.domain, holder.run_id, holder.trigger, holder.actor, c.expires_at using errcode = 'IL001',
    hint = 'Wait until that run has ended; two runs of one partition never interleave.';
end;
$$;

-- What every transaction of a run that may write holds to its end, shared; so that a takeover finds it.
create function interlock.writer_key(run_id bigint) returns bigint
language sql immutable
return hashtextextended('interlock.writer.' || run_id, 0);

-- Ends what is still under way of runs that lost their claims. A process that was stopped, or its machine, in the middle of
-- a transaction holds its claim locked for as long as it is away, and a takeover would wait for it; so would everything
-- that is decided about safety. A login of somebody's own that the owner has no rights over is left to its own time limits.
create function interlock.end_writers(runs bigint[]) returns void
language plpgsql as $$
begin
  perform set_config('lock_timeout', '10s', true);
  perform pg_terminate_backend(l.pid, 5000)
  from pg_locks l
  join pg_stat_activity a on a.pid = l.pid
  where l.locktype = 'advisory' and l.objsubid = 1 and l.granted and l.pid <> pg_backend_pid() and a.datname = current_database()
    and ((l.classid::bigint << 32) | l.objid::bigint) in (select interlock.writer_key(r) from unnest(runs) as r)
    and pg_has_role(a.usesysid, 'usage');
end;
$$;

-- Takes or renews the claims of a run under a new fencing token; older tokens are dead from here on. A run with the
-- same key takes over at once (it is the same work, tried again), any other run only what nobody holds.
create function interlock.take_claims(taking interlock.run, lease interval, backend_pid integer) returns bigint
language plpgsql as $$
declare
  held interlock.claim;
  new_token bigint := nextval('interlock.fencing_token');
  former bigint[];
begin
  perform set_config('lock_timeout', '10s', true);
  -- In one order, so that two runs that want the same partitions cannot deadlock.
  perform pg_advisory_xact_lock(hashtextextended('interlock.claim.' || taking.domain, 0));
  select c.* into held
  from interlock.claim c join interlock.run r using (run_id)
  where c.domain = taking.domain and c.partition = any (taking.partitions) and r.run_key <> taking.run_key and interlock.is_held(c)
  limit 1;
  if found then
    perform interlock.refuse_held(held);
  end if;
  select array_agg(distinct c.run_id) into former from interlock.claim c
  where c.domain = taking.domain and c.partition = any (taking.partitions) and c.run_id <> taking.run_id;
  perform interlock.end_writers(former || taking.run_id);

  insert into interlock.claim as c (domain, partition, run_id, token, expires_at, backend_pid)
  select taking.domain, p, taking.run_id, new_token, clock_timestamp() + lease, take_claims.backend_pid
  from (
    select unnest(taking.partitions) as p
    union
    select h.partition from interlock.claim h where h.run_id = taking.run_id
  ) as wanted
  on conflict (domain, partition) do update
  set run_id = excluded.run_id, token = excluded.token, expires_at = excluded.expires_at, backend_pid = excluded.backend_pid;
  -- `all` of a run that lost its days is nobody's: it died after its last write, and whoever comes next need not claim that.
  delete from interlock.claim c
  where c.domain = taking.domain and c.partition = 'all' and c.run_id = any (former)
    and not exists (select from interlock.claim o where o.run_id = c.run_id and o.partition <> 'all');
  update interlock.run set token = new_token, state = 'running', finished_at = null, message = null where run_id = taking.run_id;
  update interlock.run r set state = 'failed', finished_at = clock_timestamp(), message = format('taken over by run %s', taking.run_id)
  where r.run_id = any (former) and r.state = 'running'
    and not exists (select from interlock.claim c where c.run_id = r.run_id and c.partition <> 'all');
  return new_token;
end;
$$;

-- `preparing` is for how long it has been got ready: its first phase, which ends here.
create function interlock.admit_run(
  run_key text, domain text, partitions text[], trigger text, actor text, lease interval, backend_pid integer default null,
  preparing interval default null, out run_id bigint, out token bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  admitted interlock.run;
begin
  perform interlock.require_running(admit_run.domain);
  insert into interlock.run as r (run_key, domain, partitions, trigger, actor, token, started_at)
  values (admit_run.run_key, admit_run.domain, admit_run.partitions, admit_run.trigger, admit_run.actor, 0,
    clock_timestamp() - coalesce(preparing, '0'))
  returning * into admitted;
  run_id := admitted.run_id;
  token := interlock.take_claims(admitted, lease, backend_pid);
  if preparing is not null then
    insert into interlock.phase (run_id, phase, state, started_at, finished_at)
    values (admitted.run_id, 'admit', 'completed', admitted.started_at, clock_timestamp());
  end if;
  insert into interlock.partition (dataset_id, partition, starts_on)
  select d.dataset_id, p, interlock.starts_on(p)
  from interlock.dataset d, unnest(admitted.partitions) as p
  where d.domain = admitted.domain and d.grain = 'day' and p ~ '^\d{4}-\d\d-\d\d$'
  union all
  select d.dataset_id, 'all', null from interlock.dataset d where d.domain = admitted.domain and d.grain = 'all'
  on conflict do nothing;
end;
$$;

-- A run that was not admitted, for the record: it holds nothing and never will.
create function interlock.refuse_run(
  run_key text, domain text, partitions text[], trigger text, actor text, preparing interval, failure_class text, message text)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  refused interlock.run;
begin
  insert into interlock.run as r (run_key, domain, partitions, trigger, actor, token, state, started_at, finished_at, message)
  values (refuse_run.run_key, refuse_run.domain, refuse_run.partitions, refuse_run.trigger, refuse_run.actor, 0, 'refused',
    clock_timestamp() - preparing, clock_timestamp(), refuse_run.message)
  returning * into refused;
  insert into interlock.phase (run_id, phase, state, started_at, finished_at, failure_class, message)
  values (refused.run_id, 'admit', 'failed', refused.started_at, refused.finished_at, refuse_run.failure_class, refuse_run.message);
  return refused.run_id;
end;
$$;

create function interlock.start_phase(run_id bigint, phase text, lease interval, out phase_id bigint, out token bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  running interlock.run;
begin
  -- Not against what only refers to the run: an earlier attempt that was stopped in the middle of a write does.
  select * into strict running from interlock.run r where r.run_id = start_phase.run_id for no key update;
  perform interlock.require_running(running.domain);
  token := interlock.take_claims(
    running, lease, (select c.backend_pid from interlock.claim c where c.run_id = running.run_id limit 1));
  insert into interlock.phase (run_id, phase, state) values (running.run_id, start_phase.phase, 'started')
  returning phase.phase_id into start_phase.phase_id;
end;
$$;

-- Returns the rows of the phase: those it was told of, or those that it built or published.
create function interlock.end_phase(
  ended_phase bigint, state text, rows bigint default null, failure_class text default null, message text default null) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
  update interlock.phase p
  set state = end_phase.state, finished_at = clock_timestamp(), rows = coalesce(end_phase.rows, interlock.rows_of(p)),
    failure_class = end_phase.failure_class, message = end_phase.message
  where p.phase_id = ended_phase and p.state = 'started'
  returning p.rows;
end;

-- With `attempt`, its fencing token, only where no later attempt of the same run was begun: one that stood still and went
-- on must not end the run for the one that does its work now.
create function interlock.finish_run(run_id bigint, state text, message text default null, attempt bigint default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if attempt is not null and attempt <> (select r.token from interlock.run r where r.run_id = finish_run.run_id) then
    return;
  end if;
  -- A run may be ended from outside, while its process is stopped in the middle of a write.
  perform interlock.end_writers(array[finish_run.run_id]);
  update interlock.run r set state = finish_run.state, finished_at = clock_timestamp(), message = finish_run.message
  where r.run_id = finish_run.run_id;
  delete from interlock.claim c where c.run_id = finish_run.run_id;
end;
$$;

-- Refuses a writer whose lease ran out or was taken over, or who writes to another domain: decided by the fencing
-- token, in the database. The claim stays locked to the end of the transaction, so that nobody can take over in its middle
-- without ending it (`end_writers`).
create function interlock.require_claim(run_id bigint, token bigint, partition text, of_domain text default null) returns interlock.run
language plpgsql as $$
declare
  running interlock.run;
  claimed interlock.claim;
begin
  select * into running from interlock.run r where r.run_id = require_claim.run_id;
  if running.run_id is null then
    raise exception 'there is no run %', require_claim.run_id using errcode = 'IL005';
  end if;
  if of_domain <> running.domain then
    raise exception 'run % is of the domain "%" and may not write to "%"', running.run_id, running.domain, of_domain using errcode = 'IL005';
  end if;
  perform pg_advisory_xact_lock_shared(interlock.writer_key(running.run_id));
  select * into claimed from interlock.claim c
  where c.domain = running.domain and c.run_id = running.run_id
    and c.partition = case when require_claim.partition = 'all' then running.partitions[1] else require_claim.partition end
  for share;
  if claimed.token is null or claimed.token <> require_claim.token or claimed.expires_at <= clock_timestamp() then
    raise exception 'run % no longer holds partition % of "%": its lease ran out or another run took over',
      require_claim.run_id, require_claim.partition, running.domain using errcode = 'IL005',
      hint = 'Run it again; nothing was published.';
  end if;
  if require_claim.partition = 'all' and claimed.partition <> 'all' then
    perform interlock.claim_all(running, claimed);
  end if;
  return running;
end;
$$;

-- `all` belongs to every run of a domain, so a run claims it only when it writes to it, and keeps it to its end: runs of
-- different days go on side by side until two of them would change the same dimension.
create function interlock.claim_all(running interlock.run, claimed interlock.claim) returns void
language plpgsql as $$
declare
  held interlock.claim;
begin
  perform from interlock.claim c
  where c.domain = running.domain and c.partition = 'all' and c.run_id = running.run_id and c.token = claimed.token for share;
  if found then
    return;
  end if;
  -- Of any partition: whoever stands still may have claimed `all` in the very transaction that it did not end.
  perform interlock.end_writers(array(
    select c.run_id from interlock.claim c
    where c.domain = running.domain and c.run_id <> running.run_id and not interlock.is_held(c)));
  insert into interlock.claim as c (domain, partition, run_id, token, expires_at, backend_pid)
  values (running.domain, 'all', running.run_id, claimed.token, claimed.expires_at, claimed.backend_pid)
  on conflict (domain, partition) do update
  set run_id = excluded.run_id, token = excluded.token, expires_at = excluded.expires_at, backend_pid = excluded.backend_pid
  where c.run_id = excluded.run_id or not interlock.is_held(c)
    or exists (select from interlock.run r where r.run_id = c.run_id and r.run_key = running.run_key);
  if not found then
    select * into held from interlock.claim c where c.domain = running.domain and c.partition = 'all';
    perform interlock.refuse_held(held);
  end if;
end;
$$;
