-- Causes: what makes a partition unsafe, how it travels down the lineage, and how it clears; the gate's findings among it.
--
-- A *root* is one open fact about a partition: a finding of its own gate or delivery, or an input that was replaced. On
-- everything downstream hangs an `input_unsafe` that names the root (origin_id) and the shortest path from where it began.
-- A root clears when its partition is published again; what hangs on it clears when the dependant was rebuilt, or at once
-- where the dependant stands on the very version that is served and safe again.

-- Everything that decides about safety does it alone: a finding cannot slip between a publish's check and its commit.
-- Readers never take this lock. Under a snapshot older than the lock the check would be worthless, so that is refused.
create function interlock.decide_alone() returns void
language plpgsql as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'safety is decided in read committed transactions alone, not in %', current_setting('transaction_isolation')
      using errcode = 'invalid_transaction_state';
  end if;
  perform set_config('lock_timeout', '10s', true);
  perform pg_advisory_xact_lock(hashtextextended('interlock.safety', 0));
end;
$$;

-- What reads a partition directly. Edges that do not reopen are not followed: a dimension, unless its reader asks for it.
-- Edge by edge, and the functions below in plpgsql, so that plans are kept and never look at the other days' rows.
create function interlock.dependants(of_dataset integer, of_partition text) returns table (dataset_id integer, partition text)
language plpgsql stable as $$
#variable_conflict use_column
declare
  edge record;
  own_day date := interlock.starts_on(of_partition);
begin
  for edge in
    select e.downstream_id, e.mapping, e.lookback, n.grain
    from interlock.edge e join interlock.dataset n on n.dataset_id = e.downstream_id
    where e.upstream_id = of_dataset and (e.mapping <> 'all' or e.reopens)
  loop
    if edge.mapping = 'all' then
      return query select edge.downstream_id, p.partition from interlock.partition p where p.dataset_id = edge.downstream_id;
      if edge.grain = 'all' and not found then
        return query select edge.downstream_id, 'all';
      end if;
    else
      return query select edge.downstream_id, of_partition;
    end if;
    if edge.mapping = 'window' then
      return query select edge.downstream_id, p.partition from interlock.partition p
      where p.dataset_id = edge.downstream_id and p.starts_on > own_day and p.starts_on <= own_day + edge.lookback;
    end if;
  end loop;
end;
$$;

-- Every (dataset, partition) downstream of one, with the shortest path to it.
create function interlock.downstream(of_dataset integer, of_partition text)
returns table (dataset_id integer, partition text, path text[], depth integer)
language plpgsql stable as $$
#variable_conflict use_column
begin
  return query
  with recursive walk as (
    select of_dataset as dataset_id, of_partition as partition,
      array[(select d.name from interlock.dataset d where d.dataset_id = of_dataset)] as path, 0 as depth
    union all
    select t.dataset_id, t.partition, w.path || n.name, w.depth + 1
    from walk w
    cross join lateral interlock.dependants(w.dataset_id, w.partition) as t
    join interlock.dataset n on n.dataset_id = t.dataset_id
    where not n.name = any (w.path)
  )
  select distinct on (walk.dataset_id, walk.partition) walk.dataset_id, walk.partition, walk.path, walk.depth
  from walk where walk.depth > 0 order by walk.dataset_id, walk.partition, walk.depth, walk.path;
end;
$$;

-- The inputs that differ from what a version was built from: replaced since, or there now and not read.
create function interlock.stale_inputs(of_dataset integer, of_partition text, of_version bigint)
returns table (input_id integer, input_partition text)
language plpgsql stable as $$
#variable_conflict use_column
declare
  edge interlock.edge;
  own_day date := interlock.starts_on(of_partition);
begin
  return query
  select i.input_id, i.input_partition
  from interlock.input i
  join interlock.edge e on e.upstream_id = i.input_id and e.downstream_id = of_dataset and (e.mapping <> 'all' or e.reopens)
  left join interlock.partition p on p.dataset_id = i.input_id and p.partition = i.input_partition
  where i.version = of_version and i.partition = of_partition and p.version is distinct from i.input_version;

  for edge in
    select e.* from interlock.edge e
    where e.downstream_id = of_dataset and (e.mapping = 'window' or (e.mapping = 'all' and e.reopens))
  loop
    return query
    select p.dataset_id, p.partition
    from interlock.partition p
    where p.dataset_id = edge.upstream_id and p.version is not null
      and (edge.mapping = 'all' or p.starts_on between own_day - edge.lookback and own_day)
      and not exists (
        select from interlock.input i
        where i.version = of_version and i.partition = of_partition and i.input_id = p.dataset_id and i.input_partition = p.partition);
  end loop;
end;
$$;

-- Tells an owner once for each episode that a partition is unsafe.
create function interlock.tell_unsafe(of_cause bigint) returns void
language sql
begin atomic
  insert into interlock.notice (owner, dataset_id, partition, kind, cause_id)
  select d.owner, c.dataset_id, c.partition, 'unsafe', c.cause_id
  from interlock.cause c join interlock.dataset d on d.dataset_id = c.dataset_id
  where (c.cause_id = of_cause or c.origin_id = of_cause) and c.cleared_at is null
    and 'unsafe' is distinct from (
      select n.kind from interlock.notice n where n.dataset_id = c.dataset_id and n.partition = c.partition
      order by n.notice_id desc limit 1);
end;

-- Tells an owner once that an episode is over. One that began and ended in this transaction never was one.
create function interlock.tell_cleared(of_dataset integer, of_partition text) returns void
language plpgsql as $$
declare
  told interlock.notice;
begin
  if exists (
    select from interlock.cause c where c.dataset_id = of_dataset and c.partition = of_partition and c.cleared_at is null) then
    return;
  end if;
  select * into told from interlock.notice n where n.dataset_id = of_dataset and n.partition = of_partition order by n.notice_id desc limit 1;
  if told.kind is distinct from 'unsafe' then
    return;
  end if;
  if told.sent_at is null and told.created_at >= now() then
    delete from interlock.notice n where n.notice_id = told.notice_id;
    return;
  end if;
  insert into interlock.notice (owner, dataset_id, partition, kind, cause_id)
  select d.owner, of_dataset, of_partition, 'cleared', told.cause_id from interlock.dataset d where d.dataset_id = of_dataset;
end;
$$;

-- Opens a root and hangs an `input_unsafe` on everything downstream of it.
create function interlock.open_root(
  run_id bigint, of_dataset integer, of_partition text, code text, message text, clears text, evidence jsonb, path text[]) returns bigint
language plpgsql as $$
declare
  root bigint;
  name text := path[cardinality(path)];
begin
  insert into interlock.partition (dataset_id, partition, starts_on)
  select x.dataset_id, x.partition, interlock.starts_on(x.partition)
  from (
    select of_dataset as dataset_id, of_partition as partition
    union all
    select w.dataset_id, w.partition from interlock.downstream(of_dataset, of_partition) w
  ) as x
  on conflict do nothing;

  insert into interlock.cause (dataset_id, partition, code, message, clears, evidence, path, opened_by)
  values (of_dataset, of_partition, open_root.code, open_root.message, open_root.clears, open_root.evidence, open_root.path, open_root.run_id)
  returning cause_id into root;
  insert into interlock.cause (dataset_id, partition, code, message, clears, evidence, path, origin_id, opened_by)
  select w.dataset_id, w.partition, 'input_unsafe', format('%s partition %s is not safe: %s', name, of_partition, open_root.message),
    format('%s partition %s becomes safe, and this is rebuilt from it.', name, of_partition),
    jsonb_build_object('input', name, 'input_partition', of_partition), open_root.path || w.path[2:], root, open_root.run_id
  from interlock.downstream(of_dataset, of_partition) w;

  insert into interlock.event (kind, dataset_id, partition, run_id, actor, payload)
  values ('cause_opened', of_dataset, of_partition, open_root.run_id,
    coalesce((select r.actor from interlock.run r where r.run_id = open_root.run_id), 'platform'),
    jsonb_build_object('cause_id', root, 'code', open_root.code, 'message', open_root.message));
  perform interlock.tell_unsafe(root);
  return root;
end;
$$;

-- Clears roots, and what hangs on them, where something newer takes their place in the same transaction.
create function interlock.supersede(run_id bigint, roots bigint[]) returns void
language sql
begin atomic
  update interlock.cause c set cleared_at = clock_timestamp(), cleared_by = supersede.run_id
  where c.cleared_at is null and (c.cause_id = any (roots) or c.origin_id = any (roots));
end;

-- A finding about a partition itself: the newest replaces the older one, and what hung on it.
create function interlock.open_cause(
  run_id bigint, of_dataset integer, of_partition text, code text, message text, clears text, evidence jsonb) returns bigint
language plpgsql as $$
begin
  -- Whoever was told *unsafe* must not be told *safe* after a crash of the machine: this commit waits for the disk.
  perform set_config('synchronous_commit', 'on', true);
  perform interlock.supersede(open_cause.run_id, (
    select array_agg(c.cause_id) from interlock.cause c
    where c.dataset_id = of_dataset and c.partition = of_partition and c.cleared_at is null
      and c.code in ('delivery_refused', 'not_delivered', 'build_failed', 'gate_failed')));
  return interlock.open_root(open_cause.run_id, of_dataset, of_partition, open_cause.code, open_cause.message, open_cause.clears,
    open_cause.evidence, array[(select d.name from interlock.dataset d where d.dataset_id = of_dataset)]);
end;
$$;

-- A new version of an input is served, or the old one is safe again. Whatever was built from another version, or was held
-- back until now, is unsafe until it is rebuilt, and the rebuild is queued. Whatever was built from this very version and
-- only waited for it to be safe again, is safe again. What this same call publishes (siblings) was built from it already.
create function interlock.reopen_dependants(run_id bigint, of_dataset integer, name text, part text, new_version bigint, siblings bigint[])
returns void
language plpgsql as $$
declare
  reader record;
begin
  for reader in
    select w.dataset_id, w.partition, d.name, d.domain,
      coalesce(p.version is not null and exists (
        select from interlock.stale_inputs(w.dataset_id, w.partition, p.version) s
        where s.input_id = of_dataset and s.input_partition = part), false) as is_stale,
      p.version is null and exists (
        select from interlock.cause c join interlock.cause o on o.cause_id = c.origin_id
        where c.dataset_id = w.dataset_id and c.partition = w.partition and c.cleared_at is null and o.cleared_at is not null) as is_held
    from interlock.dependants(of_dataset, part) w
    join interlock.dataset d on d.dataset_id = w.dataset_id
    left join interlock.partition p on p.dataset_id = w.dataset_id and p.partition = w.partition
    where not (w.partition = part and exists (
      select from interlock.version v join interlock.version_partition vp on vp.version = v.version and vp.partition = part
      where v.version = any (siblings) and v.dataset_id = w.dataset_id))
  loop
    -- What stood here about this input is either said anew below, or no longer true: the version it was built from is back.
    perform interlock.supersede(reopen_dependants.run_id, (
      select array_agg(c.cause_id) from interlock.cause c
      where c.dataset_id = reader.dataset_id and c.partition = reader.partition and c.cleared_at is null and c.code = 'input_replaced'
        and c.evidence ->> 'input' = reopen_dependants.name and c.evidence ->> 'input_partition' = part));
    continue when not reader.is_stale and not reader.is_held;
    perform interlock.open_root(reopen_dependants.run_id, reader.dataset_id, reader.partition, 'input_replaced',
      format('%s partition %s was published in version %s; this was not built from it.', name, part, new_version),
      'The queued rebuild of this partition.',
      jsonb_build_object('input', name, 'input_partition', part, 'input_version', new_version), array[name, reader.name]);
    insert into interlock.rebuild (domain, partition, dataset_id, reason, requested_by)
    values (reader.domain, reader.partition, reader.dataset_id, format('%s partition %s version %s', name, part, new_version),
      reopen_dependants.run_id)
    on conflict (dataset_id, partition) where done_at is null do nothing;
  end loop;
  perform interlock.settle(reopen_dependants.run_id, w.dataset_id, w.partition)
  from interlock.downstream(of_dataset, part) w join interlock.partition p on p.dataset_id = w.dataset_id and p.partition = w.partition;
end;
$$;

-- Lets go of causes whose origin is mended, where another open cause still speaks for the partition or where it stands on
-- exactly what is served. A partition that was held back and never built keeps them until its own publish.
create function interlock.settle(run_id bigint, of_dataset integer, of_partition text) returns void
language plpgsql as $$
declare
  served bigint := (select p.version from interlock.partition p where p.dataset_id = of_dataset and p.partition = of_partition);
  is_as_built boolean := served is not null and not exists (select from interlock.stale_inputs(of_dataset, of_partition, served));
begin
  if is_as_built or exists (
    select from interlock.cause c left join interlock.cause o on o.cause_id = c.origin_id
    where c.dataset_id = of_dataset and c.partition = of_partition and c.cleared_at is null
      and (c.origin_id is null or o.cleared_at is null)
  ) then
    update interlock.cause c set cleared_at = clock_timestamp(), cleared_by = settle.run_id
    from interlock.cause o
    where c.dataset_id = of_dataset and c.partition = of_partition and c.cleared_at is null
      and o.cause_id = c.origin_id and o.cleared_at is not null;
  end if;
  perform interlock.tell_cleared(of_dataset, of_partition);
  update interlock.rebuild b set done_at = clock_timestamp()
  where is_as_built and b.dataset_id = of_dataset and b.partition = of_partition and b.done_at is null
    and not exists (
      select from interlock.cause c where c.dataset_id = of_dataset and c.partition = of_partition and c.cleared_at is null);
end;
$$;

-- Whether a finding leaves the served version as it is: the contract says so, there is one, nothing else is open against
-- it, and the finding is not about that very version.
create function interlock.keeps_last_good(d interlock.dataset, of_partition text, found_in bigint) returns boolean
language sql stable
begin atomic
  select d.on_gate_failure = 'serve-last-good' and exists (
    select from interlock.partition p
    where p.dataset_id = d.dataset_id and p.partition = of_partition and p.version <> coalesce(found_in, 0) and p.withdrawn_at is null
      and not exists (
        select from interlock.cause c where c.dataset_id = p.dataset_id and c.partition = p.partition and c.cleared_at is null));
end;

-- Wishes that something late should be loaded are over: a run has taken it up, and what became of it is on record.
create function interlock.end_late(of_feed integer, of_partition text) returns void
language sql
begin atomic
  update interlock.rebuild b set done_at = clock_timestamp()
  where b.dataset_id = of_feed and b.partition = of_partition and b.done_at is null;
end;

-- Something lies in the landing folder for a day that was run before: its run has to be repeated. Asked again with another
-- reason, because the file is another one by now, the attempts count anew.
create function interlock.request_late(of_dataset text, of_partition text, why text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into interlock.rebuild as b (domain, partition, dataset_id, reason)
  select d.domain, of_partition, d.dataset_id, why
  from interlock.dataset d where d.dataset_id = interlock.dataset_id_of(of_dataset) and d.layer = 'raw'
  on conflict (dataset_id, partition) where done_at is null do update
  set reason = excluded.reason, attempts = 0, requested_at = clock_timestamp() where b.reason <> excluded.reason;
end;
$$;

-- What a bad delivery leaves behind: a record, and a cause unless the contract keeps serving the last good version.
create function interlock.refuse_delivery(
  run_id bigint, token bigint, dataset text, partition text, source_file text, content_hash text, outcome text,
  code text, message text, clears text, evidence jsonb,
  delivered_on date default null, sequence bigint default null, fingerprint text default null)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  d interlock.dataset;
begin
  select * into strict d from interlock.dataset where dataset_id = interlock.dataset_id_of(refuse_delivery.dataset) and layer = 'raw';
  perform interlock.require_claim(refuse_delivery.run_id, token, refuse_delivery.partition, d.domain);
  insert into interlock.delivery (
    dataset_id, partition, run_id, delivered_on, sequence, source_file, content_hash, fingerprint, outcome, error)
  values (d.dataset_id, refuse_delivery.partition, refuse_delivery.run_id, refuse_delivery.delivered_on, refuse_delivery.sequence,
    refuse_delivery.source_file, refuse_delivery.content_hash, refuse_delivery.fingerprint, refuse_delivery.outcome,
    jsonb_build_object('code', code, 'message', message, 'evidence', evidence));
  perform interlock.end_late(d.dataset_id, refuse_delivery.partition);
  perform interlock.decide_alone();
  if not interlock.keeps_last_good(d, refuse_delivery.partition, null) then
    perform interlock.open_cause(refuse_delivery.run_id, d.dataset_id, refuse_delivery.partition,
      case refuse_delivery.outcome when 'absent' then 'not_delivered' else 'delivery_refused' end,
      message, clears, coalesce(evidence, '{}') || jsonb_build_object('error', code));
  end if;
end;
$$;

-- A candidate that could not even be built or sealed: for its readers the same as one that failed its gate.
create function interlock.report_build_failure(run_id bigint, token bigint, dataset text, partition text, message text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  d interlock.dataset;
begin
  select * into strict d from interlock.dataset where dataset_id = interlock.dataset_id_of(report_build_failure.dataset);
  perform interlock.require_claim(report_build_failure.run_id, token, report_build_failure.partition, d.domain);
  perform interlock.decide_alone();
  if not interlock.keeps_last_good(d, report_build_failure.partition, null) then
    perform interlock.open_cause(report_build_failure.run_id, d.dataset_id, report_build_failure.partition, 'build_failed',
      report_build_failure.message, 'A model or an input that builds, and a rerun of this partition.', '{}');
  end if;
end;
$$;

-- Whether a gate's evidence passes: every clause that blocks is there and has never failed. Nothing found is a failure.
create function interlock.passes(clauses text[], evidence jsonb) returns boolean
language sql immutable
return cardinality(clauses) > 0 and not exists (
  select from unnest(clauses) as wanted
  where not coalesce((
    select bool_and(coalesce(e -> 'success' = 'true', false)) from jsonb_array_elements(evidence) e where e ->> 'clause' = wanted), false));

-- Records what a gate found, for each partition of a version. The outcome is derived here, never taken from the caller.
-- A result may name the digest of the clauses that it was judged by; the verdict then stands on that one.
create function interlock.record_verdicts(run_id bigint, token bigint, judged_version bigint, results jsonb)
returns table (partition text, outcome text, verdict_id bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  d interlock.dataset;
  v interlock.version;
  failure record;
  given bigint[];
begin
  select * into v from interlock.version x where x.version = judged_version and x.sealed_at is not null;
  if v.version is null then
    raise exception 'version % is not sealed: only a sealed candidate can be judged', judged_version using errcode = 'IL008';
  end if;
  select * into strict d from interlock.dataset x where x.dataset_id = v.dataset_id;
  perform interlock.require_claim(record_verdicts.run_id, token, r.partition, d.domain) from jsonb_to_recordset(results) as r (partition text);
  if exists (
    select from jsonb_to_recordset(results) as r (partition text)
    where not exists (select from interlock.version_partition p where p.version = v.version and p.partition = r.partition)
  ) then
    raise exception 'version % does not cover every partition that was judged', judged_version using errcode = 'IL008';
  end if;

  with account as (
    select * from interlock.account_for_version(v.version, record_verdicts.run_id, results)
  ), recorded as (
    insert into interlock.verdict (
      version, dataset_id, partition, outcome, contract_version, clause_digest, is_bootstrapped, warnings, evidence, run_id)
    select v.version, d.dataset_id, r.partition,
      case when interlock.passes(d.clauses, r.evidence) and coalesce(a.unbalanced, 0) = 0 then 'passed' else 'failed' end,
      d.contract_version, coalesce(r.clause_digest, d.clause_digest), coalesce(r.bootstrapped, false),
      (select count(*) from jsonb_array_elements(r.evidence) e
       where e -> 'success' is distinct from 'true' and not e ->> 'clause' = any (d.clauses)),
      coalesce(r.evidence, '[]'), record_verdicts.run_id
    from jsonb_to_recordset(results) as r (partition text, evidence jsonb, bootstrapped boolean, clause_digest text)
    left join account a on a.partition = r.partition
    returning verdict_id
  )
  select array_agg(recorded.verdict_id) into given from recorded;

  perform interlock.set_rows_aside(d, v.version, x.partition, x.verdict_id, d.contract_version, r.quarantined)
  from interlock.verdict x
  join jsonb_to_recordset(results) as r (partition text, quarantined jsonb) on r.partition = x.partition
  where x.verdict_id = any (given) and x.outcome = 'passed' and jsonb_array_length(r.quarantined) > 0;

  insert into interlock.measure (version, partition, name, value)
  select v.version, r.partition, m.key, (m.value #>> '{}')::double precision
  from jsonb_to_recordset(results) as r (partition text, measures jsonb), jsonb_each(coalesce(r.measures, '{}')) m
  on conflict do nothing;

  for failure in
    select x.partition, x.verdict_id, (
      select string_agg(coalesce(e ->> 'message', e ->> 'clause'), '; ')
      from jsonb_array_elements(x.evidence) e
      where e -> 'success' is distinct from 'true' and e ->> 'clause' = any (d.clauses)) as message, (
      select string_agg(c, ', ') from unnest(d.clauses) c
      where not exists (select from jsonb_array_elements(x.evidence) e where e ->> 'clause' = c)) as missing
    from interlock.verdict x
    where x.verdict_id = any (given) and x.outcome = 'failed'
    order by x.verdict_id
  loop
    perform interlock.decide_alone();
    update interlock.load l set state = 'rejected' where l.load_id = v.version and l.state <> 'accepted';
    if d.layer = 'raw' then
      perform interlock.end_late(d.dataset_id, failure.partition);
    end if;
    if not interlock.keeps_last_good(d, failure.partition, v.version) then
      perform interlock.open_cause(record_verdicts.run_id, d.dataset_id, failure.partition, 'gate_failed',
        coalesce(failure.message, 'never evaluated: ' || failure.missing, 'the contract has no clause that blocks'),
        'A delivery or a model that passes the gate, and a rerun of this partition.',
        jsonb_build_object('verdict_id', failure.verdict_id, 'version', v.version));
    end if;
  end loop;

  return query
  select distinct on (x.partition) x.partition, x.outcome, x.verdict_id
  from interlock.verdict x where x.verdict_id = any (given) order by x.partition, x.verdict_id desc;
end;
$$;
