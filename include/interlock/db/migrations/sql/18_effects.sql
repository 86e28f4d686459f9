-- What actions do to partitions. An effect takes the action that this transaction executes, and nothing else: what was approved
-- is what is done. Its precondition is a function of its own, asked when the action is proposed and when it is executed.

alter table interlock.rebuild add column action_id bigint references interlock.action;
comment on column interlock.rebuild.action_id is 'The action that wants it run again, whether anything changed or not.';

create function interlock.refuse_action(message text, hint text) returns void
language plpgsql as $$
begin
  raise exception '%', message using errcode = 'IL017', hint = hint;
end;
$$;

create function interlock.dataset_of(a interlock.action) returns interlock.dataset
language sql stable
return (select d from interlock.dataset d where d.dataset_id = a.dataset_id);

-- Whether a version is what readers of a partition are served, withdrawn or not: of increments, a load among others.
create function interlock.is_part_of_served(d interlock.dataset, p interlock.partition, of_version bigint) returns boolean
language sql stable
return p.version = of_version or (d.is_increment and exists (
  select from interlock.load l
  where l.load_id = of_version and l.dataset_id = d.dataset_id and l.partition = p.partition and l.state = 'accepted'
    and l.load_id <= p.version and not interlock.is_replaced(l.load_id, p.version)));

-- Quarantine ------------------------------------------------------------------------------------------------------------

create function interlock.require_withdrawable(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset := interlock.dataset_of(a);
  part text;
  p interlock.partition;
begin
  foreach part in array a.partitions loop
    select * into p from interlock.partition x where x.dataset_id = a.dataset_id and x.partition = part;
    if p.version is null or not interlock.is_part_of_served(d, p, a.version) then
      perform interlock.refuse_action(
        format('"%s" partition %s does not serve version %s%s', d.name, part, a.version,
          coalesce(format(': version %s is served', p.version), '')),
        'Quarantine names a version that is served; what replaces it is judged by itself.');
    elsif p.withdrawn_at is not null then
      perform interlock.refuse_action(format('"%s" partition %s version %s is quarantined already', d.name, part, p.withdrawn_version),
        format('See `interlock explain %s --partition %s`.', d.name, part));
    end if;
  end loop;
end;
$$;

create function interlock.withdraw_version(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  a interlock.action := interlock.require_executing(withdraw_version.action_id, array['quarantine_partition']);
  d interlock.dataset := interlock.dataset_of(a);
  part text;
begin
  perform interlock.require_withdrawable(a);
  foreach part in array a.partitions loop
    update interlock.partition p set withdrawn_at = clock_timestamp(), withdrawn_version = a.version
    where p.dataset_id = d.dataset_id and p.partition = part;
    perform interlock.open_root(null, d.dataset_id, part, 'quarantined',
      format('Version %s was quarantined by %s (action %s): %s', a.version, a.actor ->> 'name', a.action_id, a.rationale),
      format('Another version, or `interlock action rollback %s`.', a.action_id),
      jsonb_build_object('action', a.action_id, 'version', a.version), array[d.name]);
    insert into interlock.event (kind, dataset_id, partition, actor, payload)
    values ('withdrawn', d.dataset_id, part, a.actor ->> 'name', jsonb_build_object('version', a.version, 'action', a.action_id));
  end loop;
  return jsonb_build_object('withdrawn', to_jsonb(a.partitions));
end;
$$;

-- Where the version of an action is out of sight now: of a quarantine of many days some may have been replaced since.
create function interlock.withdrawn_partitions(a interlock.action) returns setof text
language sql stable
begin atomic
  select p.partition from interlock.partition p
  where p.dataset_id = a.dataset_id and p.partition = any (a.partitions) and p.withdrawn_version = a.version;
end;

create function interlock.require_releasable(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset := interlock.dataset_of(a);
begin
  if not exists (select from interlock.withdrawn_partitions(a)) then
    perform interlock.refuse_action(
      format('"%s" partition %s version %s is not quarantined', d.name, array_to_string(a.partitions, ', '), a.version),
      'There is nothing to release: another version took its place, or it was released before.');
  end if;
end;
$$;

create function interlock.release_version(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  a interlock.action := interlock.require_executing(release_version.action_id, array['release_partition']);
  d interlock.dataset := interlock.dataset_of(a);
  part text;
  served bigint;
  released text[];
begin
  perform interlock.require_releasable(a);
  released := array(select interlock.withdrawn_partitions(a) order by 1);
  foreach part in array released loop
    update interlock.partition p set withdrawn_at = null, withdrawn_version = null
    where p.dataset_id = d.dataset_id and p.partition = part returning p.version into served;
    perform interlock.supersede(null, (
      select array_agg(c.cause_id) from interlock.cause c
      where c.dataset_id = d.dataset_id and c.partition = part and c.cleared_at is null
        and (c.code = 'quarantined' or (c.code = 'found_bad' and c.evidence ->> 'version' = a.version::text))));
    if d.is_increment then
      perform interlock.name_found_bad(null, d, part);
    end if;
    insert into interlock.event (kind, dataset_id, partition, actor, payload)
    values ('released', d.dataset_id, part, a.actor ->> 'name', jsonb_build_object('version', a.version, 'action', a.action_id));
    perform interlock.settle(null, d.dataset_id, part);
    perform interlock.reopen_dependants(null, d.dataset_id, d.name, part, served, '{}');
  end loop;
  return jsonb_build_object('released', to_jsonb(released));
end;
$$;

-- Rollback --------------------------------------------------------------------------------------------------------------

-- Moves the pointer to a version that carries a verdict, and says what stood there before; the causes open against what is
-- replaced are closed with it.
create function interlock.move_pointer(a interlock.action, d interlock.dataset, part text, standing_on interlock.verdict) returns jsonb
language plpgsql as $$
declare
  was interlock.partition;
  roots jsonb;
begin
  select * into strict was from interlock.partition p where p.dataset_id = d.dataset_id and p.partition = part;
  select jsonb_agg(jsonb_build_object('code', c.code, 'message', c.message, 'clears', c.clears, 'evidence', c.evidence, 'path', c.path)
    order by c.cause_id) into roots
  from interlock.cause c
  where c.dataset_id = d.dataset_id and c.partition = part and c.cleared_at is null and c.origin_id is null;
  update interlock.partition p set version = standing_on.version, verdict_id = standing_on.verdict_id, published_at = clock_timestamp(),
    withdrawn_at = null, withdrawn_version = null
  where p.dataset_id = d.dataset_id and p.partition = part;
  perform interlock.supersede(null, (
    select array_agg(c.cause_id) from interlock.cause c
    where c.dataset_id = d.dataset_id and c.partition = part and c.cleared_at is null));
  perform interlock.tell_cleared(d.dataset_id, part);
  perform interlock.reopen_dependants(null, d.dataset_id, d.name, part, standing_on.version, '{}');
  insert into interlock.event (kind, dataset_id, partition, actor, payload)
  values (case a.kind when 'rollback_partition' then 'rolled_back' else 'reinstated' end, d.dataset_id, part, a.actor ->> 'name',
    jsonb_build_object('version', standing_on.version, 'replaces', was.version, 'action', a.action_id));
  return jsonb_build_object('version', was.version, 'verdict_id', was.verdict_id, 'withdrawn_version', was.withdrawn_version,
    'causes', coalesce(roots, '[]'));
end;
$$;

-- The newest verdict on a version under the clauses as they are now; null where there is none.
create function interlock.standing_verdict(d interlock.dataset, part text, of_version bigint) returns interlock.verdict
language sql stable
return (
  select x from interlock.verdict x
  where x.version = of_version and x.dataset_id = d.dataset_id and x.partition = part and x.clause_digest = d.clause_digest
  order by x.verdict_id desc limit 1);

create function interlock.require_rows(d interlock.dataset, part text, of_version bigint) returns void
language plpgsql stable as $$
begin
  if exists (select from interlock.version v where v.version = of_version and v.condemned_at is not null) then
    perform interlock.refuse_action(
      format('version %s of "%s" partition %s was pruned and cannot be served', of_version, d.name, part),
      'Run the partition again: it is built anew. INTERLOCK_KEEP_GOOD_VERSIONS says how many earlier ones are kept.');
  end if;
end;
$$;

create function interlock.require_servable(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset := interlock.dataset_of(a);
  part text := a.partitions[1];
  verdict interlock.verdict := interlock.standing_verdict(d, part, a.version);
  served bigint := (select p.version from interlock.partition p where p.dataset_id = d.dataset_id and p.partition = part);
begin
  perform interlock.require_rows(d, part, a.version);
  if d.is_increment then
    perform interlock.refuse_action(format('"%s" is delivered in increments: no earlier version of %s is whole without the later ones', d.name, part),
      'Quarantine the increment that is bad, and have it delivered again.');
  elsif served is distinct from (a.parameters ->> 'from_version')::bigint then
    perform interlock.refuse_action(format('"%s" partition %s serves version %s, not %s', d.name, part, coalesce(served::text, 'none'),
      coalesce(a.parameters ->> 'from_version', 'none')), 'Propose it anew: what is served has changed since.');
  elsif served = a.version and not exists (
    select from interlock.cause c where c.dataset_id = d.dataset_id and c.partition = part and c.cleared_at is null) then
    perform interlock.refuse_action(format('"%s" partition %s serves version %s already', d.name, part, a.version), 'There is nothing to do.');
  elsif verdict.outcome is distinct from 'passed' or not exists (
    select from interlock.event e where e.dataset_id = d.dataset_id and e.partition = part and e.kind = 'published'
      and (e.payload ->> 'version')::bigint = a.version) then
    perform interlock.refuse_action(
      format('version %s of "%s" partition %s cannot be served: it has no passing verdict under contract %s, or was never published',
        a.version, d.name, part, d.contract_version), 'Only what once was served and is still good can be served again.');
  elsif exists (
    select from interlock.event e where e.dataset_id = d.dataset_id and e.partition = part and e.kind in ('withdrawn', 'released')
      and (e.payload ->> 'version')::bigint = a.version
    group by e.payload ->> 'version'
    having max(e.event_id) filter (where e.kind = 'withdrawn') > coalesce(max(e.event_id) filter (where e.kind = 'released'), 0)) then
    perform interlock.refuse_action(format('version %s of "%s" partition %s was quarantined, and never released', a.version, d.name, part),
      'Choose another version.');
  elsif exists (
    select from interlock.finding f left join interlock.action x on x.action_id = f.answered_by
    where f.dataset_id = d.dataset_id and f.partition = part and f.version = a.version and x.state is distinct from 'rolled_back') then
    perform interlock.refuse_action(format('version %s of "%s" partition %s was found bad', a.version, d.name, part),
      format('`interlock finding list %s` says by whom. Choose another version.', d.name));
  elsif exists (select from interlock.stale_inputs(d.dataset_id, part, a.version)) or exists (
    select from interlock.input i where i.version = a.version and i.partition = part
      and not interlock.is_partition_safe(i.input_id, i.input_partition)) then
    perform interlock.refuse_action(
      format('version %s of "%s" partition %s cannot be served: what it was built from is not what is served and safe now',
        a.version, d.name, part), 'Roll back its inputs first.');
  end if;
end;
$$;

create function interlock.serve_earlier(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  a interlock.action := interlock.require_executing(serve_earlier.action_id, array['rollback_partition']);
  d interlock.dataset := interlock.dataset_of(a);
begin
  perform interlock.require_servable(a);
  return interlock.move_pointer(a, d, a.partitions[1], interlock.standing_verdict(d, a.partitions[1], a.version));
end;
$$;

create function interlock.require_reinstatable(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset := interlock.dataset_of(a);
  part text := a.partitions[1];
  rollback interlock.action;
  served bigint := (select p.version from interlock.partition p where p.dataset_id = d.dataset_id and p.partition = part);
begin
  select * into rollback from interlock.action x where x.action_id = a.undoes and x.kind = 'rollback_partition' and x.state = 'executed';
  if rollback.action_id is null or served is distinct from rollback.version then
    perform interlock.refuse_action(format('"%s" partition %s does not serve what a rollback put there', d.name, part),
      'There is nothing to reinstate: another version was published since, or it was reinstated before.');
  elsif interlock.standing_verdict(d, part, a.version) is null then
    perform interlock.refuse_action(format('version %s of "%s" partition %s was never judged by the clauses of contract %s',
      a.version, d.name, part, d.contract_version), 'Run the partition again: its gate judges it anew.');
  end if;
  perform interlock.require_rows(d, part, a.version);
end;
$$;

-- Serves again what a rollback replaced, as it was: with all that stood open against it, or quarantined.
create function interlock.serve_later(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  a interlock.action := interlock.require_executing(serve_later.action_id, array['reinstate_partition']);
  d interlock.dataset := interlock.dataset_of(a);
  part text := a.partitions[1];
  before jsonb;
  standing_on interlock.verdict;
  result jsonb;
begin
  perform interlock.require_reinstatable(a);
  before := (select x.result from interlock.action x where x.action_id = a.undoes);
  select * into strict standing_on from interlock.verdict x where x.verdict_id = (before ->> 'verdict_id')::bigint;
  result := interlock.move_pointer(a, d, part, standing_on);
  update interlock.partition p set withdrawn_version = (before ->> 'withdrawn_version')::bigint,
    withdrawn_at = case when before ->> 'withdrawn_version' is not null then clock_timestamp() end
  where p.dataset_id = d.dataset_id and p.partition = part;
  perform interlock.open_root(null, d.dataset_id, part, c.code, c.message, c.clears, c.evidence, c.path)
  from jsonb_to_recordset(before -> 'causes') as c (code text, message text, clears text, evidence jsonb, path text[]);
  return result;
end;
$$;

-- Rerun -----------------------------------------------------------------------------------------------------------------

create function interlock.require_known(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  missing text := (
    select string_agg(part, ', ') from unnest(a.partitions) as part
    where not exists (select from interlock.partition p where p.dataset_id = a.dataset_id and p.partition = part));
begin
  if missing is not null then
    perform interlock.refuse_action(format('"%s" has no partition %s yet', (interlock.dataset_of(a)).name, missing),
      'What never ran cannot be run again: start its first run with `interlock run`, or in Airflow.');
  end if;
end;
$$;

create function interlock.queue_rerun(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action := interlock.require_executing(queue_rerun.action_id, array['rerun_partition']);
  d interlock.dataset := interlock.dataset_of(a);
  fresh jsonb;
begin
  perform interlock.require_known(a);
  with queued as (
    insert into interlock.rebuild as b (domain, partition, dataset_id, reason, action_id)
    select d.domain, part, d.dataset_id, a.rationale, a.action_id from unnest(a.partitions) as part
    -- What waits to be rebuilt anyway is tried again, and stays what it is: taking this rerun back does not end it.
    on conflict (dataset_id, partition) where done_at is null do update set attempts = 0
    returning b.partition, b.action_id
  )
  select coalesce(jsonb_agg(q.partition order by q.partition), '[]') into fresh from queued q where q.action_id = a.action_id;
  insert into interlock.event (kind, dataset_id, actor, payload)
  values ('rerun_queued', d.dataset_id, a.actor ->> 'name', jsonb_build_object('partitions', to_jsonb(a.partitions), 'action', a.action_id));
  return jsonb_build_object('queued', fresh);
end;
$$;

create function interlock.require_queued(a interlock.action) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from interlock.rebuild b where b.action_id = a.undoes and b.done_at is null) then
    perform interlock.refuse_action(format('the rerun of action %s is over, or was no other than a rebuild that waits anyway',
      coalesce(a.undoes::text, '?')), 'What it published is undone by rollback_partition.');
  end if;
end;
$$;

create function interlock.cancel_rerun(action_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a interlock.action := interlock.require_executing(cancel_rerun.action_id, array['cancel_rerun']);
  cancelled text[];
begin
  perform interlock.require_queued(a);
  with gone as (
    update interlock.rebuild b set done_at = clock_timestamp() where b.action_id = a.undoes and b.done_at is null returning b.partition
  )
  select array_agg(g.partition) into cancelled from gone g;
  return jsonb_build_object('cancelled', to_jsonb(cancelled));
end;
$$;

-- A rerun is over when its run is, whether it published anything or not: what did not change is not published again. What
-- stands still was not in that run.
create function interlock.end_reruns(of_domain text, of_partitions text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update interlock.rebuild b set done_at = clock_timestamp()
  from interlock.dataset d
  where d.dataset_id = b.dataset_id and b.domain = of_domain and b.partition = any (of_partitions) and b.done_at is null
    and b.action_id is not null and not interlock.stands_still(d);
end;
$$;

grant execute on function
  interlock.require_withdrawable, interlock.withdraw_version, interlock.require_releasable, interlock.release_version,
  interlock.require_servable, interlock.serve_earlier, interlock.require_reinstatable, interlock.serve_later,
  interlock.require_known, interlock.queue_rerun, interlock.require_queued, interlock.cancel_rerun,
  interlock.is_part_of_served, interlock.is_replaced
to interlock_controller;
grant execute on function interlock.end_reruns to interlock_operator;
