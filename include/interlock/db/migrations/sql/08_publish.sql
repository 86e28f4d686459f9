-- Publishing: the only code that moves a pointer. It demands the verdict, the token and living inputs, and commits
-- pointer, causes, rebuilds, watermark, notices and event together.

create function interlock.publish(run_id bigint, token bigint, partition text, versions bigint[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  part text := publish.partition;
  running interlock.run;
  d interlock.dataset;
  chosen bigint;
  verdict interlock.verdict;
  was interlock.partition;
  moved integer := 0;
begin
  running := interlock.require_claim(publish.run_id, publish.token, part);
  perform interlock.decide_alone();
  foreach chosen in array versions loop
    select x.* into d from interlock.version v join interlock.dataset x on x.dataset_id = v.dataset_id
    join interlock.version_partition vp on vp.version = v.version and vp.partition = part
    where v.version = chosen and v.sealed_at is not null;
    if not found then
      raise exception 'version % is not a sealed candidate of partition %', chosen, part using errcode = 'IL008';
    end if;
    perform interlock.require_claim(publish.run_id, publish.token, part, d.domain);
    perform interlock.require_running(d.domain, d.dataset_id);
    verdict := interlock.require_verdict(d, part, chosen);
    perform interlock.require_inputs(d, part, chosen);
    select * into was from interlock.partition p where p.dataset_id = d.dataset_id and p.partition = part;
    if d.layer = 'raw' then
      perform interlock.require_newest(d, part, (select l.delivered_on from interlock.load l where l.load_id = chosen));
    end if;
    if d.is_increment and was.version > chosen then
      raise exception 'load % of "%" is older than load %, which was accepted meanwhile', chosen, d.name, was.version using errcode = 'IL009',
        hint = 'Run it again: it must be loaded again, after the other.';
    end if;
    if was.version = chosen and was.withdrawn_at is not null then
      raise exception '"%" partition % version % was withdrawn: a rerun does not bring it back', d.name, part, chosen
        using errcode = 'IL008', hint = 'Release it, or publish another version.';
    end if;
    continue when was.version = chosen and was.verdict_id = verdict.verdict_id and not exists (
      select from interlock.cause c where c.dataset_id = d.dataset_id and c.partition = part and c.cleared_at is null);

    perform interlock.attach(d.layer, d.name, t.version, t.table_name, t.bucket)
    from interlock.version_table t
    where t.version = chosen and t.attached_at is null
      and (t.bucket is null or t.bucket = date_trunc('month', interlock.starts_on(part))::date);
    update interlock.load l set state = 'accepted' where d.layer = 'raw' and l.load_id = chosen;
    perform interlock.serve(running, d, part, verdict);
    if d.is_increment then
      perform interlock.name_missing(publish.run_id, d, part);
      perform interlock.name_found_bad(publish.run_id, d, part);
    end if;
    if d.layer = 'raw' then
      insert into interlock.watermark as w (dataset_id, partition, load_id) values (d.dataset_id, part, chosen)
      on conflict (dataset_id) do update set partition = excluded.partition, load_id = excluded.load_id, moved_at = default
      where excluded.partition >= w.partition;
    end if;
    perform interlock.reopen_dependants(publish.run_id, d.dataset_id, d.name, part, chosen, versions);
    insert into interlock.event (kind, dataset_id, partition, run_id, actor, payload)
    values ('published', d.dataset_id, part, publish.run_id, running.actor,
      jsonb_build_object('version', chosen, 'verdict_id', verdict.verdict_id, 'replaces', was.version));
    moved := moved + 1;
  end loop;
  return moved;
end;
$$;

-- Attaches what is about to be published, in a transaction of its own just before: nobody is shown its rows yet, and a
-- statement that is planned from here on knows the tables when the pointer moves. What has not passed is left where it is.
create function interlock.attach_ahead(run_id bigint, token bigint, versions bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  running interlock.run;
begin
  select * into running from interlock.run r where r.run_id = attach_ahead.run_id;
  perform interlock.require_claim(attach_ahead.run_id, attach_ahead.token, running.partitions[1]);
  perform interlock.decide_alone();
  perform interlock.attach(d.layer, d.name, t.version, t.table_name, t.bucket)
  from interlock.version_table t
  join interlock.version v on v.version = t.version
  join interlock.dataset d on d.dataset_id = v.dataset_id and d.domain = running.domain
  where t.version = any (versions) and t.attached_at is null and exists (
    select from interlock.verdict x
    where x.version = t.version and x.outcome = 'passed' and x.clause_digest = d.clause_digest
      and (t.bucket is null or t.bucket = date_trunc('month', interlock.starts_on(x.partition))::date));
end;
$$;

-- The newest verdict on a version: it must have passed under the clauses that are active now, and after any open finding
-- about the partition itself, so that an old verdict cannot talk down a newer finding.
create function interlock.require_verdict(d interlock.dataset, part text, chosen bigint) returns interlock.verdict
language plpgsql as $$
declare
  newest interlock.verdict;
begin
  select * into newest from interlock.verdict x where x.version = chosen and x.partition = part order by x.verdict_id desc limit 1;
  if newest.outcome is distinct from 'passed' or newest.clause_digest is distinct from d.clause_digest then
    raise exception '"%" partition % version % has no passing verdict under contract %', d.name, part, chosen, d.contract_version
      using errcode = 'IL008', hint = 'Only its gate can give one: run the partition again.';
  end if;
  if exists (
    select from interlock.cause c
    where c.dataset_id = d.dataset_id and c.partition = part and c.cleared_at is null
      and c.code in ('delivery_refused', 'not_delivered', 'build_failed', 'gate_failed', 'was_retired') and c.opened_at > newest.judged_at
  ) then
    raise exception '"%" partition % version % was judged before the finding that is open on it', d.name, part, chosen
      using errcode = 'IL008', hint = 'Let its gate judge it again: run the partition again.';
  end if;
  return newest;
end;
$$;

-- Inputs must still be what they were: served in these versions, and safe, or published in this very call. A dimension
-- that does not reopen its readers may have been replaced meanwhile by another version that passed its gate.
create function interlock.require_inputs(d interlock.dataset, part text, chosen bigint) returns void
language plpgsql as $$
declare
  unfit record;
begin
  select u.name, i.input_partition into unfit
  from interlock.input i
  join interlock.dataset u on u.dataset_id = i.input_id
  left join interlock.edge e on e.upstream_id = i.input_id and e.downstream_id = d.dataset_id
  left join interlock.partition p on p.dataset_id = i.input_id and p.partition = i.input_partition
  where i.version = chosen and i.partition = part
    and (not interlock.is_partition_safe(i.input_id, i.input_partition)
      or (p.version <> i.input_version and (coalesce(e.reopens or e.mapping <> 'all', true) or 'passed' is distinct from (
        select x.outcome from interlock.verdict x where x.version = i.input_version and x.partition = i.input_partition
        order by x.verdict_id desc limit 1))))
  limit 1;
  if not found then
    select u.name, s.input_partition into unfit
    from interlock.stale_inputs(d.dataset_id, part, chosen) s join interlock.dataset u on u.dataset_id = s.input_id limit 1;
  end if;
  if not found then
    select c.path[1] as name, c.partition as input_partition into unfit
    from interlock.cause c
    join interlock.cause o on o.cause_id = c.origin_id and o.cleared_at is null
    join interlock.dataset u on u.name = c.path[cardinality(c.path) - 1]
    join interlock.edge e on e.upstream_id = u.dataset_id and e.downstream_id = d.dataset_id
    where c.dataset_id = d.dataset_id and c.partition = part and c.cleared_at is null
    limit 1;
  end if;
  if found then
    raise exception '"%" partition %, an input of "%" partition %, was replaced or became unsafe while it was built',
      unfit.name, unfit.input_partition, d.name, part using errcode = 'IL009',
      hint = 'Nothing was published. Run it again: it will be built from the input as it is now.';
  end if;
end;
$$;

-- An increment that was taken out of sight, or found bad, is still among the loads that are served, until it is delivered again.
create function interlock.stays_withdrawn(d interlock.dataset, withdrawn bigint, up_to bigint) returns boolean
language sql stable
return d.is_increment and withdrawn is not null and not interlock.is_replaced(withdrawn, up_to);

-- Moves the pointer, renews the lease, and closes what was open against the partition.
create function interlock.serve(running interlock.run, d interlock.dataset, part text, verdict interlock.verdict) returns void
language plpgsql as $$
begin
  insert into interlock.partition as p (dataset_id, partition, starts_on, version, verdict_id, published_at, published_by)
  values (d.dataset_id, part, interlock.starts_on(part), verdict.version, verdict.verdict_id, clock_timestamp(), running.run_id)
  on conflict (dataset_id, partition) do update set
    version = excluded.version, verdict_id = excluded.verdict_id, published_at = excluded.published_at,
    published_by = excluded.published_by,
    withdrawn_at = case when interlock.stays_withdrawn(d, p.withdrawn_version, verdict.version) then p.withdrawn_at end,
    withdrawn_version = case when interlock.stays_withdrawn(d, p.withdrawn_version, verdict.version) then p.withdrawn_version end;
  -- Not each time: a row that every query of the dataset reads should not gather dead versions.
  update interlock.dataset x set lease_until = interlock.now() + x.lease
  where x.dataset_id = d.dataset_id and (x.lease_until is null or x.lease_until < interlock.now() + x.lease * 0.99);
  update interlock.cause c set cleared_at = clock_timestamp(), cleared_by = running.run_id
  where c.dataset_id = d.dataset_id and c.partition = part and c.cleared_at is null
    and not (c.code = 'quarantined' and exists (
      select from interlock.partition p where p.dataset_id = d.dataset_id and p.partition = part and p.withdrawn_at is not null))
    and not (c.code = 'found_bad' and interlock.stays_withdrawn(d, (c.evidence ->> 'version')::bigint, verdict.version))
    -- An increment says nothing about another one that is missing, nor about what was refused after it had come.
    and not (d.is_increment and c.code in ('delivery_refused', 'gate_failed') and interlock.is_increment_missing(d.dataset_id, part))
    and not (d.is_increment and c.code = 'delivery_refused' and c.opened_at > (
      select max(y.seen_at) from interlock.delivery y where y.dataset_id = d.dataset_id and y.load_id = verdict.version));
  if found and not exists (
    select from interlock.cause c where c.dataset_id = d.dataset_id and c.partition = part and c.cleared_at is null) then
    perform interlock.tell_cleared(d.dataset_id, part);
  end if;
  update interlock.rebuild b set done_at = clock_timestamp()
  where b.dataset_id = d.dataset_id and b.partition = part and b.done_at is null;
end;
$$;

-- What stays open when an increment is accepted is about others: says which, so that nobody mends the wrong one.
create function interlock.name_missing(run_id bigint, d interlock.dataset, part text) returns void
language plpgsql as $$
declare
  missing text[] := (
    select array_agg(x.source_file order by x.delivered_on, x.sequence) from interlock.last_delivery x
    where x.dataset_id = d.dataset_id and x.partition = part
      and (x.outcome in ('refused', 'quarantined') or x.load_state = 'rejected'));
begin
  if missing is not null and exists (
    select from interlock.cause c where c.dataset_id = d.dataset_id and c.partition = part and c.cleared_at is null
      and c.code in ('delivery_refused', 'gate_failed')) then
    perform interlock.open_cause(name_missing.run_id, d.dataset_id, part, 'delivery_refused',
      format('Refused or rejected, and not delivered right since: %s.', array_to_string(missing, ', ')),
      'Each of these increments delivered again, and accepted.', jsonb_build_object('missing', missing));
  end if;
end;
$$;

-- Attaches one sealed table, within `decide_alone`. ATTACH takes a lock that no reader notices; a month's parent is made
-- beside and attached too.
create function interlock.attach(layer text, dataset text, version bigint, table_name text, bucket date) returns void
language plpgsql as $$
declare
  root constant text := format('%I.%I', layer, dataset);
  parent text := root;
  month_name text := dataset || to_char(bucket, '"__"YYYY_MM');
begin
  if bucket is not null then
    if to_regclass(format('%I.%I', layer, month_name)) is null then
      perform pg_advisory_xact_lock(hashtextextended('interlock.month.' || month_name, 0));
    end if;
    if to_regclass(format('%I.%I', layer, month_name)) is null then
      execute format('create table %I.%I (like %s) partition by list (_version)', layer, month_name, root);
      execute format('alter table %s attach partition %I.%I for values from (%L) to (%L)', root, layer, month_name, bucket,
        (bucket + interval '1 month')::date);
    end if;
    parent := format('%I.%I', layer, month_name);
    -- A right that is there already, granted again: so that plans over other months too are made anew, and know this one.
    execute format('grant select on %s to interlock_reader', root);
  end if;
  execute format('alter table %s attach partition versions.%I for values in (%s)', parent, table_name, version);
  update interlock.version_table t set attached_at = clock_timestamp(), attachment = interlock.number_attachment()
  where t.version = attach.version and t.table_name = attach.table_name;
end;
$$;

-- Renews the lease of every dataset whose served versions are still where the pointers say. Judges nothing again.
create function interlock.renew_leases(actor text) returns table (dataset text, valid_until timestamptz)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  perform interlock.decide_alone();
  return query
  update interlock.dataset d set lease_until = interlock.now() + d.lease
  where d.retired_at is null
    and exists (select from interlock.partition p where p.dataset_id = d.dataset_id and p.version is not null)
    and not exists (
      select from interlock.partition p join interlock.version_table t on t.version = p.version
      where p.dataset_id = d.dataset_id
        and (t.bucket is null or t.bucket = date_trunc('month', p.starts_on)::date)
        and not exists (select from pg_inherits i where i.inhrelid = to_regclass(format('versions.%I', t.table_name))))
  returning d.name, d.lease_until;
  insert into interlock.event (kind, actor) values ('leases_renewed', renew_leases.actor);
end;
$$;

create function interlock.mark_notices_sent(sent bigint[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
  update interlock.notice n set sent_at = clock_timestamp(), attempts = n.attempts + 1 where n.notice_id = any (sent);
end;

create function interlock.record_rebuild_attempt(tried bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
  update interlock.rebuild r set attempts = r.attempts + 1 where r.rebuild_id = tried;
end;
