-- Publishing: the only code that moves a pointer. It demands the verdict, the token and living inputs, and commits
-- pointer, causes, rebuilds, watermark, notices and event together.

create function interlock.publish(run_id bigint, token bigint, partition text, versions bigint[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  part text := publish.partition;
  item record;
  child record;
  moved integer := 0;
  previous bigint;
begin
  perform set_config('lock_timeout', '10s', true);
  perform interlock.require_claim(publish.run_id, publish.token, part);
  for item in
    select d.*, v.version, c.verdict_id, c.outcome, c.clause_digest as judged_digest, p.version as served, p.verdict_id as served_verdict,
      v.sealed_at, vp.partition as covered
    from unnest(versions) with ordinality as n (version, position)
    left join interlock.version v on v.version = n.version
    left join interlock.dataset d on d.dataset_id = v.dataset_id
    left join interlock.version_partition vp on vp.version = v.version and vp.partition = part
    left join interlock.partition p on p.dataset_id = v.dataset_id and p.partition = part
    left join lateral (
      select x.verdict_id, x.outcome, x.clause_digest from interlock.verdict x
      where x.version = v.version and x.partition = part order by x.verdict_id desc limit 1) as c on true
    order by n.position
  loop
    if item.sealed_at is null or item.covered is null then
      raise exception 'version % is not a sealed candidate of partition %', item.version, part using errcode = 'IL008';
    end if;
    if item.outcome is distinct from 'passed' or item.judged_digest is distinct from item.clause_digest then
      raise exception '"%" partition % version % has no passing verdict under contract %', item.name, part, item.version,
        item.contract_version using errcode = 'IL008', hint = 'Only its gate can give one: run the partition again.';
    end if;
    -- Inputs must still be what they were: served in these versions, and safe, or published in this very call.
    perform from interlock.input i
    left join interlock.partition p on p.dataset_id = i.input_id and p.partition = i.input_partition
    where i.version = item.version and i.partition = part
      and (p.version is distinct from i.input_version or not interlock.is_partition_safe(i.input_id, i.input_partition));
    if found then
      raise exception 'an input of "%" partition % was replaced or became unsafe while it was built', item.name, part
        using errcode = 'IL009', hint = 'Nothing was published. Run it again: it will be built from the input as it is now.';
    end if;
    continue when item.served = item.version and not exists (
      select from interlock.cause c where c.dataset_id = item.dataset_id and c.partition = part and c.cleared_at is null);

    for child in
      select t.table_name, t.bucket from interlock.version_table t where t.version = item.version and t.attached_at is null
        and (t.bucket is null or t.bucket = date_trunc('month', part::date)::date)
    loop
      perform interlock.attach(item.layer, item.name, item.partition_column, item.version, child.table_name, child.bucket);
    end loop;

    previous := item.served;
    insert into interlock.partition as p (dataset_id, partition, starts_on, version, verdict_id, published_at, published_by)
    values (item.dataset_id, part, case when part <> 'all' then part::date end, item.version, item.verdict_id, clock_timestamp(), publish.run_id)
    on conflict (dataset_id, partition) do update set
      version = excluded.version, verdict_id = excluded.verdict_id, published_at = excluded.published_at,
      published_by = excluded.published_by, withdrawn_at = null;
    update interlock.dataset x set lease_until = greatest(x.lease_until, interlock.now() + x.lease) where x.dataset_id = item.dataset_id;

    update interlock.cause c set cleared_at = clock_timestamp(), cleared_by = publish.run_id
    where c.dataset_id = item.dataset_id and c.partition = part and c.cleared_at is null;
    if found then
      insert into interlock.notice (owner, dataset_id, partition, kind, cause_id)
      select item.owner, item.dataset_id, part, 'cleared', n.cause_id from interlock.notice n
      where n.dataset_id = item.dataset_id and n.partition = part and n.kind = 'unsafe'
        and not exists (
          select from interlock.notice later
          where later.dataset_id = n.dataset_id and later.partition = n.partition and later.notice_id > n.notice_id);
    end if;
    update interlock.rebuild b set done_at = clock_timestamp()
    where b.dataset_id = item.dataset_id and b.partition = part and b.done_at is null;

    if item.layer = 'raw' then
      update interlock.load l set state = 'accepted' where l.load_id = item.version;
      insert into interlock.watermark as w (dataset_id, partition, load_id) values (item.dataset_id, part, item.version)
      on conflict (dataset_id) do update set partition = excluded.partition, load_id = excluded.load_id, moved_at = default
      where excluded.partition >= w.partition;
    end if;
    perform interlock.reopen_dependants(publish.run_id, item.dataset_id, item.name, part, item.version, versions);
    insert into interlock.event (kind, dataset_id, partition, run_id, actor, payload)
    select 'published', item.dataset_id, part, publish.run_id, r.actor,
      jsonb_build_object('version', item.version, 'verdict_id', item.verdict_id, 'replaces', previous)
    from interlock.run r where r.run_id = publish.run_id;
    moved := moved + 1;
  end loop;
  return moved;
end;
$$;

-- Attaches one sealed table. ATTACH takes a lock that no reader notices; a month's parent is made beside and attached too.
create function interlock.attach(layer text, dataset text, partition_column text, version bigint, table_name text, bucket date) returns void
language plpgsql as $$
declare
  parent text := format('%I.%I', layer, dataset);
  month_name text := dataset || to_char(bucket, '"__"YYYY_MM');
begin
  if bucket is not null then
    if to_regclass(format('%I.%I', layer, month_name)) is null then
      perform pg_advisory_xact_lock(hashtextextended('interlock.month.' || month_name, 0));
    end if;
    if to_regclass(format('%I.%I', layer, month_name)) is null then
      execute format('create table %I.%I (like %s) partition by list (_version)', layer, month_name, parent);
      execute format('alter table %s attach partition %I.%I for values from (%L) to (%L)', parent, layer, month_name, bucket,
        (bucket + interval '1 month')::date);
    end if;
    parent := format('%I.%I', layer, month_name);
  end if;
  execute format('alter table %s attach partition versions.%I for values in (%s)', parent, table_name, version);
  update interlock.version_table t set attached_at = clock_timestamp()
  where t.version = attach.version and t.table_name = attach.table_name;
end;
$$;

-- A new version of an input: what was built from another one is not safe until it is rebuilt, and the rebuild is queued.
-- What this same call publishes was built from the new version already.
create function interlock.reopen_dependants(
  run_id bigint, of_dataset integer, name text, part text, new_version bigint, siblings bigint[]) returns void
language plpgsql as $$
declare
  origin bigint;
  stale record;
begin
  for stale in
    select w.dataset_id, w.partition, w.path, w.depth, d.domain, d.owner
    from interlock.downstream(of_dataset, part) w
    join interlock.dataset d on d.dataset_id = w.dataset_id
    join interlock.partition p on p.dataset_id = w.dataset_id and p.partition = w.partition
    where not exists (select from interlock.version v where v.version = any (siblings) and v.dataset_id = w.dataset_id)
      and (
        -- built from another version, directly or through something that was
        exists (
          select from interlock.input i where i.version = p.version and i.partition = w.partition
            and i.input_id = of_dataset and i.input_partition = part and i.input_version <> new_version)
        or (w.depth > 1 and p.version is not null)
        -- or held back by this input until now
        or exists (
          select from interlock.cause c where c.dataset_id = w.dataset_id and c.partition = w.partition and c.cleared_at is null
            and c.code = 'input_unsafe' and c.path[1] = any (w.path))
      )
    order by w.depth
  loop
    -- Beyond the first step only what hangs on something that is itself stale now.
    continue when stale.depth > 1 and not exists (
      select from interlock.cause c join interlock.edge e on e.upstream_id = c.dataset_id and e.downstream_id = stale.dataset_id
      where c.cleared_at is null and c.code in ('input_replaced', 'input_unsafe') and (e.mapping <> 'same' or c.partition = stale.partition));
    update interlock.cause c set cleared_at = clock_timestamp(), cleared_by = reopen_dependants.run_id
    where c.dataset_id = stale.dataset_id and c.partition = stale.partition and c.cleared_at is null
      and c.code in ('input_unsafe', 'input_replaced')
      and not exists (select from interlock.cause o where o.cause_id = c.origin_id and o.cleared_at is null);
    insert into interlock.cause (dataset_id, partition, code, message, clears, evidence, path, opened_by)
    values (stale.dataset_id, stale.partition, 'input_replaced',
      format('%s partition %s was published in version %s; this was not built from it.', name, part, new_version),
      'The queued rebuild of this partition.', jsonb_build_object('input', name, 'input_version', new_version), stale.path,
      reopen_dependants.run_id);
    insert into interlock.rebuild (domain, partition, dataset_id, reason, requested_by)
    values (stale.domain, stale.partition, stale.dataset_id, format('%s partition %s version %s', name, part, new_version),
      reopen_dependants.run_id)
    on conflict (dataset_id, partition) where done_at is null do nothing;
    insert into interlock.notice (owner, dataset_id, partition, kind, cause_id)
    select stale.owner, stale.dataset_id, stale.partition, 'unsafe', c.cause_id from interlock.cause c
    where c.dataset_id = stale.dataset_id and c.partition = stale.partition and c.cleared_at is null
      and 'unsafe' is distinct from (
        select n.kind from interlock.notice n where n.dataset_id = stale.dataset_id and n.partition = stale.partition
        order by n.notice_id desc limit 1)
    order by c.cause_id desc limit 1;
  end loop;
end;
$$;

-- Serves an earlier version of a partition again: it must still carry a passing verdict under the contract as it is now.
create function interlock.serve_version(of_dataset text, of_partition text, wanted bigint, actor text, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset;
  chosen interlock.verdict;
begin
  select * into strict d from interlock.dataset where dataset_id = interlock.dataset_id_of(of_dataset);
  select * into chosen from interlock.verdict x where x.version = wanted and x.dataset_id = d.dataset_id and x.partition = of_partition
  order by x.verdict_id desc limit 1;
  if chosen.outcome is distinct from 'passed' or chosen.clause_digest <> d.clause_digest
    or exists (select from interlock.version_table t where t.version = wanted and t.attached_at is null
      and (t.bucket is null or t.bucket = date_trunc('month', of_partition::date)::date)) then
    raise exception 'version % of "%" partition % cannot be served: it has no passing verdict or was never published',
      wanted, of_dataset, of_partition using errcode = 'IL008';
  end if;
  update interlock.partition p set version = wanted, verdict_id = chosen.verdict_id, published_at = clock_timestamp(), withdrawn_at = null
  where p.dataset_id = d.dataset_id and p.partition = of_partition;
  -- Safe again only if what it was built from is what is served now.
  update interlock.cause c set cleared_at = clock_timestamp()
  where c.dataset_id = d.dataset_id and c.partition = of_partition and c.cleared_at is null
    and not exists (
      select from interlock.input i left join interlock.partition p on p.dataset_id = i.input_id and p.partition = i.input_partition
      where i.version = wanted and i.partition = of_partition
        and (p.version is distinct from i.input_version or not interlock.is_partition_safe(i.input_id, i.input_partition)));
  perform interlock.reopen_dependants(null, d.dataset_id, d.name, of_partition, wanted, '{}');
  insert into interlock.event (kind, dataset_id, partition, actor, payload)
  values ('rolled_back', d.dataset_id, of_partition, serve_version.actor, jsonb_build_object('version', wanted, 'reason', reason));
end;
$$;

-- Renews the lease of every dataset whose served versions are still where the pointers say. Judges nothing again.
create function interlock.renew_leases(actor text) returns table (dataset text, valid_until timestamptz)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  update interlock.dataset d set lease_until = greatest(d.lease_until, interlock.now() + d.lease)
  where exists (select from interlock.partition p where p.dataset_id = d.dataset_id and p.version is not null)
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
