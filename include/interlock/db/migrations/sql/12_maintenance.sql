-- Maintenance: what may be pruned is decided here, whoever asks. A version goes in two steps. It is *condemned* in one
-- transaction that no publish can overlap, and from then on nothing can serve it; its rows go afterwards, when every
-- transaction that could still see it as served has ended. A process that dies in between is finished by the next one.

alter table interlock.version
  add column condemned_at timestamptz,
  add column condemned_beside text[],
  add column pruned_at timestamptz,
  add check (condemned_at is not null or pruned_at is null);
create index on interlock.version (version) where condemned_at is not null and pruned_at is null;
comment on column interlock.version.condemned_beside is
  'Transactions that were open when it was condemned: one of them may have begun while it was still served.';
comment on column interlock.version.pruned_at is 'Since when its rows are gone; what is known about it stays.';

-- Nothing younger is ever pruned, whatever the retention says: an attempt that is paused comes back for what it built.
create function interlock.before(age interval) returns timestamptz
language sql stable
return clock_timestamp() - greatest(age, interval '1 day');

create function interlock.refuse_condemned() returns trigger
language plpgsql as $$
begin
  if exists (select from interlock.version v where v.version = new.version and v.condemned_at is not null) then
    raise exception 'version % was pruned and cannot be served', new.version using errcode = 'IL008',
      hint = 'Run the partition again: it is built anew.';
  end if;
  return new;
end;
$$;
create trigger refuse_condemned before insert or update of version on interlock.partition
for each row when (new.version is not null) execute function interlock.refuse_condemned();

create function interlock.open_transactions() returns text[]
language sql volatile
return (
  select coalesce(array_agg(l.virtualxid), '{}')
  from pg_locks l join pg_stat_activity a on a.pid = l.pid
  where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and l.pid <> pg_backend_pid() and a.datname = current_database()
);

-- When a run that has no end was heard of last: until then it may have been at work.
create function interlock.last_heard(r interlock.run) returns timestamptz
language sql stable
return greatest(
  r.started_at,
  (select max(p.started_at) from interlock.phase p where p.run_id = r.run_id),
  (select max(c.expires_at) from interlock.claim c where c.run_id = r.run_id));

-- A run that never ended, and that nobody comes back to: its lease ran out more than a day ago.
create function interlock.is_lost(r interlock.run) returns boolean
language sql volatile
return r.state = 'running' and interlock.last_heard(r) < interlock.before('0');

-- A run that has not ended, or that still holds a partition.
create function interlock.is_unfinished(r interlock.run) returns boolean
language sql volatile
return (r.state = 'running' and not interlock.is_lost(r))
  or exists (select from interlock.claim c where c.run_id = r.run_id and interlock.is_held(c));

-- Ends the runs that are lost. Whoever wakes up in one of them finds its claims gone; an attempt that begins a phase anew
-- takes them again, and the run goes on.
create function interlock.end_lost_runs() returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  lost interlock.run;
  ended bigint := 0;
begin
  for lost in select r.* from interlock.run r where interlock.is_lost(r) order by r.run_id for update skip locked loop
    continue when not interlock.is_lost(lost);  -- it may have been taken up again while its row was waited for
    update interlock.run r
    set state = 'failed', finished_at = interlock.last_heard(lost),
      message = format('never ended; its lease ran out at %s UTC', to_char(interlock.last_heard(lost) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'))
    where r.run_id = lost.run_id;
    delete from interlock.claim c where c.run_id = lost.run_id;
    ended := ended + 1;
  end loop;
  return ended;
end;
$$;

-- Every version that something still needs, and the first reason: to be served, to be rolled back to, to be compared
-- with, to explain what is open; and all that these were built from, as far down as the raw loads.
create function interlock.needed_versions(keep_good integer) returns table (version bigint, reason text)
language plpgsql volatile as $$
#variable_conflict use_column
begin
  return query
  with recursive unfinished as materialized (
    select r.run_id from interlock.run r where interlock.is_unfinished(r)
  ),
  good as (
    select v.version, row_number() over (partition by v.dataset_id, vp.partition order by v.version desc) as place
    from interlock.version v
    join interlock.version_partition vp on vp.version = v.version
    join interlock.partition p on p.dataset_id = v.dataset_id and p.partition = vp.partition
    where v.condemned_at is null and v.version is distinct from p.version
      and 'passed' = (
        select x.outcome from interlock.verdict x where x.version = v.version and x.partition = vp.partition
        order by x.verdict_id desc limit 1)
      and exists (
        select from interlock.event e
        where e.dataset_id = v.dataset_id and e.partition = vp.partition and e.kind = 'published'
          and (e.payload ->> 'version')::bigint = v.version)
  ),
  root (version, weight, reason) as (
    select p.version, 1, 'it is served' from interlock.partition p where p.version is not null
    union all
    select l.load_id, 1, 'it is served: an increment that was accepted'
    from interlock.load l join interlock.dataset d on d.dataset_id = l.dataset_id where d.is_increment and l.state = 'accepted'
    union all
    select v.version, 2, format('run %s, which made it, has not ended', r.run_id)
    from unfinished r join interlock.version v on v.run_id = r.run_id
    union all
    select n.version, 2, format('run %s, which reads it, has not ended', r.run_id)
    from unfinished r join interlock.pin n on n.run_id = r.run_id
    union all
    select x.version, 3, format('a cause is open on partition %s, and this is its evidence', c.partition)
    from interlock.cause c
    cross join lateral (
      select (c.evidence ->> 'version')::bigint as version
      union all select (c.evidence ->> 'input_version')::bigint
      union all select j.version from interlock.verdict j where j.verdict_id = (c.evidence ->> 'verdict_id')::bigint
    ) as x
    where x.version is not null and (c.cleared_at is null or exists (
      select from interlock.cause o where o.origin_id = c.cause_id and o.cleared_at is null))
    union all
    select held.version, 3, format('it is held, and every answer about partition %s names it', p.partition)
    from interlock.partition p
    cross join lateral (
      select j.version from interlock.verdict j
      where j.dataset_id = p.dataset_id and j.partition = p.partition and j.outcome = 'failed' and j.version > p.version
      order by j.version desc limit 1
    ) as held
    union all
    select g.version, 4, 'a rollback may serve it' from good g where g.place <= greatest(keep_good, 1)
    union all
    select max(l.load_id), 5, 'it is the newest delivery, which the next one is compared with'
    from interlock.load l join interlock.dataset d on d.dataset_id = l.dataset_id
    group by l.dataset_id, l.partition, case when d.is_increment then l.delivered_on end, case when d.is_increment then l.sequence end
    union all
    select max(l.load_id), 5, 'it is the newest delivery, which the next one is compared with'
    from interlock.load l where l.state = 'accepted' group by l.dataset_id, l.partition
  ),
  needed as (
    select r.version from root r
    union
    select i.input_version from needed n join interlock.input i on i.version = n.version
  )
  select distinct on (n.version) n.version, coalesce(r.reason, 'something that is needed was built from it')
  from needed n left join root r on r.version = n.version
  order by n.version, r.weight;
end;
$$;

-- What outlived its retention, what keeps it all the same (null: nothing), and how much it is. Its age counts from
-- when it was replaced, or from when it was made where it never was served.
create function interlock.outlived_versions(keep_good integer, replaced_for interval, held_for interval, raw_for interval)
returns table (version bigint, dataset text, kind text, kept_because text, size bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  with aged as (
    select v.version, d.name as dataset,
      case when d.layer = 'raw' then 'raw' when exists (
        select from interlock.version_table t where t.version = v.version and t.attached_at is not null) then 'replaced' else 'held' end as kind,
      greatest(v.sealed_at, (
        select max(e.at)
        from interlock.version_partition vp
        join interlock.event e on e.dataset_id = v.dataset_id and e.partition = vp.partition
        where vp.version = v.version and e.kind in ('published', 'rolled_back') and (e.payload ->> 'replaces')::bigint = v.version
      )) as unused_since
    from interlock.version v join interlock.dataset d on d.dataset_id = v.dataset_id
    where v.sealed_at is not null and v.condemned_at is null
      and not exists (select from interlock.partition p where p.version = v.version)
  )
  select a.version, a.dataset, a.kind, n.reason, (
    select coalesce(sum(pg_total_relation_size(to_regclass(format('versions.%I', t.table_name)))), 0)::bigint
    from interlock.version_table t where t.version = a.version)
  from aged a
  left join interlock.needed_versions(keep_good) n on n.version = a.version
  where a.unused_since < interlock.before(case a.kind when 'raw' then raw_for when 'replaced' then replaced_for else held_for end)
  order by a.version;
end;
$$;

-- Condemns versions; refuses where one of them is needed, or too young for that to be known.
create function interlock.condemn(wanted bigint[], keep_good integer, actor text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  unfit record;
  condemned integer;
begin
  perform interlock.decide_alone();
  select n.version, n.reason into unfit from interlock.needed_versions(condemn.keep_good) n where n.version = any (wanted)
  order by n.version limit 1;
  if found then
    raise exception 'version % may not be pruned: %', unfit.version, unfit.reason using errcode = 'IL012',
      hint = 'Nothing was pruned. What is needed now is found anew by the next `interlock maintain`.';
  end if;
  select w.version into unfit
  from unnest(wanted) as w (version) left join interlock.version v on v.version = w.version
  where v.sealed_at is null or v.sealed_at > interlock.before('0') limit 1;
  if found then
    raise exception 'version % may not be pruned: it does not exist, or was made within the last day', unfit.version using errcode = 'IL012';
  end if;
  update interlock.version v set condemned_at = clock_timestamp(), condemned_beside = interlock.open_transactions()
  where v.version = any (wanted) and v.condemned_at is null;
  get diagnostics condemned = row_count;
  if condemned > 0 then
    insert into interlock.event (kind, actor, payload)
    values ('condemned', condemn.actor, jsonb_build_object('versions', to_jsonb(wanted), 'keep_good', condemn.keep_good));
  end if;
  return condemned;
end;
$$;

-- The condemned versions that still have rows, with their tables, where those are attached, and whether a detach was begun.
create function interlock.condemned_tables()
returns table (version bigint, dataset text, table_name text, parent text, is_pending boolean, is_watched boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  with still as materialized (select interlock.open_transactions() as open)
  select v.version, d.name, t.table_name, i.inhparent::regclass::text, coalesce(i.inhdetachpending, false),
    v.condemned_beside && still.open
  from interlock.version v
  cross join still
  join interlock.dataset d on d.dataset_id = v.dataset_id
  left join interlock.version_table t on t.version = v.version
  left join pg_inherits i on i.inhrelid = to_regclass('versions.' || quote_ident(t.table_name))
  where v.condemned_at is not null and v.pruned_at is null
  order by v.version, t.table_name;
end;

-- Lets this transaction, until it is revoked in it, delete from tables that are append-only for everybody else.
create function interlock.permit_pruning(variadic of_tables regclass[]) returns void
language sql
begin atomic
  insert into interlock.pruning (opened_in, relations) values (pg_current_xact_id(), of_tables);
end;

create function interlock.revoke_pruning() returns void
language sql
begin atomic
  delete from interlock.pruning p where p.opened_in = pg_current_xact_id();
end;

-- Drops the rows of a condemned version for good; returns what they wait for where they cannot go yet.
create function interlock.prune_version(doomed bigint) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms' as $$
declare
  v interlock.version;
  d interlock.dataset;
  t interlock.version_table;
  raw_table regclass;
begin
  select * into v from interlock.version x where x.version = doomed for update;
  if v.condemned_at is null then
    raise exception 'version % was not condemned', doomed using errcode = 'IL012', hint = 'Only `interlock.condemn` says what may go.';
  end if;
  if v.pruned_at is not null then
    return null;
  end if;
  if v.condemned_beside && interlock.open_transactions() then
    return 'a transaction is open that began before it was condemned';
  end if;
  select * into strict d from interlock.dataset x where x.dataset_id = v.dataset_id;
  if d.layer = 'raw' then
    raw_table := format('%I.%I', 'raw_' || d.domain, d.name)::regclass;
    perform interlock.permit_pruning(raw_table);
    execute format('delete from %s where _load_id = %s', raw_table, doomed);
    perform interlock.revoke_pruning();
  else
    if exists (
      select from interlock.version_table x join pg_inherits i on i.inhrelid = to_regclass(format('versions.%I', x.table_name))
      where x.version = doomed) then
      return 'its table is still attached';
    end if;
    set local client_min_messages = warning;
    if (select count(*) from interlock.version_table x where x.version = doomed and x.bucket is not null) > 1 then
      execute format('drop view if exists versions.%I', d.name || '__v' || doomed);
    end if;
    for t in select * from interlock.version_table x where x.version = doomed loop
      execute format('drop table if exists versions.%I', t.table_name);
    end loop;
    delete from interlock.version_table x where x.version = doomed;
  end if;
  update interlock.version x set pruned_at = clock_timestamp() where x.version = doomed;
  return null;
exception
  when lock_not_available then
    return 'somebody is reading it';
  when dependent_objects_still_exist then
    return 'the workspace of a run still shows it';
end;
$$;

-- Workspaces that nobody will come back to: their run holds nothing, and was silent for a day.
create function interlock.dead_workspaces() returns setof bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  select r.run_id
  from pg_namespace n join interlock.run r on n.nspname = 'run_' || r.run_id
  where not exists (select from interlock.claim c where c.run_id = r.run_id and interlock.is_held(c))
    and greatest(r.started_at, r.finished_at, (select max(p.started_at) from interlock.phase p where p.run_id = r.run_id)) < interlock.before('0')
  order by 1;
end;

create function interlock.prune_workspace(dead bigint) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms' as $$
begin
  if dead not in (select interlock.dead_workspaces()) then
    raise exception 'the workspace of run % may not be pruned: the run may still come back to it', dead using errcode = 'IL012';
  end if;
  set local client_min_messages = warning;
  execute format('drop schema if exists %I cascade', 'run_' || dead);
  return null;
exception when lock_not_available then
  return 'something in it is in use';
end;
$$;

-- What a run was made of, once it has ended and no open cause names it.
create function interlock.prune_runs(older interval) returns table (phases bigint, pins bigint, rebuilds bigint, refused bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  ended bigint[];
begin
  select array_agg(r.run_id) into ended from interlock.run r
  where r.finished_at < interlock.before(older) and not interlock.is_unfinished(r)
    and not exists (select from interlock.cause c where c.opened_by = r.run_id and c.cleared_at is null);
  delete from interlock.phase p where p.run_id = any (ended);
  get diagnostics phases = row_count;
  delete from interlock.pin n where n.run_id = any (ended);
  get diagnostics pins = row_count;
  delete from interlock.rebuild b where b.done_at < interlock.before(older);
  get diagnostics rebuilds = row_count;
  -- Nothing ever came of them, and a schedule that is refused every few minutes leaves many.
  delete from interlock.run r where r.state = 'refused' and r.finished_at < interlock.before(older);
  get diagnostics refused = row_count;
  return next;
end;
$$;

-- The newest notice about a partition stays: it says what its owner believes.
create function interlock.prune_notices(older interval) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  gone bigint;
  of_actions bigint;
begin
  delete from interlock.notice n
  where n.sent_at < interlock.before(older)
    and exists (
      select from interlock.notice x where x.dataset_id = n.dataset_id and x.partition = n.partition and x.notice_id > n.notice_id)
    and not exists (select from interlock.cause c where c.cause_id = n.cause_id and c.cleared_at is null);
  get diagnostics gone = row_count;
  delete from interlock.action_notice n where n.sent_at < interlock.before(older);
  get diagnostics of_actions = row_count;
  return gone + of_actions;
end;
$$;

-- Deliveries that were kept aside, with their lines, unless something is still open on the partition that they came for.
create function interlock.prune_quarantine(older interval) returns table (deliveries bigint, lines bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  of_domain record;
  counted bigint;
begin
  deliveries := 0;
  lines := 0;
  for of_domain in
    select format('%I.quarantined_line', 'raw_' || d.domain)::regclass as kept_in, array_agg(q.quarantine_id) as doomed
    from interlock.quarantined_delivery q
    join interlock.dataset d on d.dataset_id = q.dataset_id
    join interlock.run r on r.run_id = q.run_id
    where q.opened_at < interlock.before(older) and not interlock.is_unfinished(r)
      and not exists (
        select from interlock.cause c where c.dataset_id = q.dataset_id and c.partition = q.partition and c.cleared_at is null)
    group by d.domain
  loop
    perform interlock.permit_pruning(of_domain.kept_in);
    execute format('delete from %s where quarantine_id = any ($1)', of_domain.kept_in) using of_domain.doomed;
    get diagnostics counted = row_count;
    perform interlock.revoke_pruning();
    lines := lines + counted;
    delete from interlock.quarantined_delivery q where q.quarantine_id = any (of_domain.doomed);
    deliveries := deliveries + cardinality(of_domain.doomed);
  end loop;
  return next;
end;
$$;

-- What was recorded of versions that are gone; kept for ever unless a retention was set. The contracts, the causes, the
-- versions themselves and the events, which are a chain, always stay.
create function interlock.prune_records(older interval)
returns table (verdicts bigint, deliveries bigint, accounts bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  until timestamptz := interlock.before(older);
begin
  perform interlock.decide_alone();
  perform interlock.permit_pruning('interlock.verdict', 'interlock.delivery', 'interlock.ledger');
  delete from interlock.verdict x using interlock.version v
  where v.version = x.version and v.pruned_at is not null and x.judged_at < until;
  get diagnostics verdicts = row_count;
  delete from interlock.delivery y
  where y.seen_at < until
    and not exists (select from interlock.version v where v.version = y.load_id and v.pruned_at is null)
    and not exists (
      select from interlock.cause c where c.dataset_id = y.dataset_id and c.partition = y.partition and c.cleared_at is null)
    and not exists (select from interlock.run r where r.run_id = y.run_id and interlock.is_unfinished(r));
  get diagnostics deliveries = row_count;
  delete from interlock.ledger l using interlock.version v
  where v.version = l.version and v.pruned_at is not null and l.recorded_at < until;
  get diagnostics accounts = row_count;
  perform interlock.revoke_pruning();
  return next;
end;
$$;

-- The record of each maintenance, by which it is known when the next one is due.
create index on interlock.event (at) where kind = 'maintained';

create function interlock.record_maintenance(actor text, said jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
  insert into interlock.event (kind, actor, payload) values ('maintained', record_maintenance.actor, said);
end;

grant execute on function
  interlock.outlived_versions, interlock.condemn, interlock.condemned_tables, interlock.prune_version, interlock.dead_workspaces,
  interlock.prune_workspace, interlock.end_lost_runs, interlock.prune_runs, interlock.prune_notices, interlock.prune_quarantine, interlock.prune_records,
  interlock.record_maintenance
to interlock_operator;
