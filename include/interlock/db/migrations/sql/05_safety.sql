-- Verdicts, causes, and the one answer to "is it safe?". The state is derived here and nowhere else.

create table interlock.verdict (
  verdict_id bigint generated always as identity primary key,
  version bigint not null references interlock.version,
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  outcome text not null check (outcome in ('passed', 'failed')),
  contract_version text not null,
  clause_digest text not null,
  is_bootstrapped boolean not null,
  warnings integer not null,
  evidence jsonb not null,
  run_id bigint not null references interlock.run,
  judged_at timestamptz not null default clock_timestamp(),
  unique (verdict_id, version)
);
create index on interlock.verdict (version, partition);
create index on interlock.verdict (dataset_id, partition);
create trigger append_only before update or delete or truncate on interlock.verdict
for each statement execute function interlock.refuse_change();

-- A pointer can only ever name a verdict that stands on the very version that is served.
alter table interlock.partition add foreign key (verdict_id, version) references interlock.verdict (verdict_id, version);

create table interlock.measure (
  version bigint not null references interlock.version,
  partition text not null,
  name text not null,
  value double precision,
  primary key (version, partition, name)
);

create table interlock.cause (
  cause_id bigint generated always as identity primary key,
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  code text not null check (code in ('delivery_refused', 'not_delivered', 'build_failed', 'gate_failed', 'input_unsafe', 'input_replaced')),
  message text not null,
  clears text not null,
  evidence jsonb not null default '{}',
  path text[] not null,
  origin_id bigint references interlock.cause,
  opened_at timestamptz not null default clock_timestamp(),
  opened_by bigint references interlock.run,
  cleared_at timestamptz,
  cleared_by bigint references interlock.run
);
create index on interlock.cause (dataset_id, partition) where cleared_at is null;
create index on interlock.cause (origin_id) where cleared_at is null;
comment on column interlock.cause.path is 'From the dataset where it began to this one, the shortest way.';

create table interlock.rebuild (
  rebuild_id bigint generated always as identity primary key,
  domain text not null,
  partition text not null,
  dataset_id integer not null references interlock.dataset,
  reason text not null,
  requested_at timestamptz not null default clock_timestamp(),
  requested_by bigint references interlock.run,
  attempts integer not null default 0,
  done_at timestamptz
);
create unique index on interlock.rebuild (dataset_id, partition) where done_at is null;

create table interlock.notice (
  notice_id bigint generated always as identity primary key,
  owner text not null,
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  kind text not null check (kind in ('unsafe', 'cleared')),
  cause_id bigint not null references interlock.cause,
  created_at timestamptz not null default clock_timestamp(),
  sent_at timestamptz,
  attempts integer not null default 0
);
create index on interlock.notice (notice_id) where sent_at is null;

-- The partitions whose served version readers may see.
create view interlock.readable_partition as
select p.dataset_id, p.partition, p.starts_on, p.version
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
where p.version is not null
  and p.withdrawn_at is null
  and d.lease_until > interlock.now()
  and not exists (
    select from interlock.cause c where c.dataset_id = p.dataset_id and c.partition = p.partition and c.cleared_at is null);

create function interlock.is_partition_safe(of_dataset integer, of_partition text) returns boolean
language sql stable
return exists (
  select from interlock.readable_partition r where r.dataset_id = of_dataset and r.partition = of_partition);

create view interlock.safety as
select
  d.name as dataset, p.partition, s.state, s.state in ('safe', 'rebuilding') as safe,
  coalesce(
    (
      select jsonb_agg(jsonb_build_object(
        'code', c.code, 'message', c.message, 'clears', c.clears, 'path', to_jsonb(c.path), 'evidence', c.evidence, 'since', c.opened_at)
        order by cardinality(c.path), c.cause_id)
      from interlock.cause c where c.dataset_id = p.dataset_id and c.partition = p.partition and c.cleared_at is null
    ),
    case
      when s.state = 'quarantined' then jsonb_build_array(jsonb_build_object('code', 'quarantined',
        'message', 'The served version was withdrawn.', 'clears', 'A release, or a new version.'))
      when s.state = 'unknown' and p.version is null then jsonb_build_array(jsonb_build_object('code', 'never_judged',
        'message', 'No version of this partition has passed its gate.', 'clears', 'A run of its domain for this partition.'))
      when s.state = 'unknown' then jsonb_build_array(jsonb_build_object('code', 'lease_ran_out',
        'message', format('The renewal lease of the dataset ran out at %s.', d.lease_until), 'clears', '`interlock renew`, or any run of its domain.'))
      when s.state = 'checking' then jsonb_build_array(jsonb_build_object('code', 'checking',
        'message', 'A candidate is being built or gated for the first time.', 'clears', 'The end of the run.'))
      when held.version is not null then jsonb_build_array(jsonb_build_object('code', 'held_candidate',
        'message', format('Version %s failed its gate and is held; version %s is served.', held.version, p.version),
        'clears', 'A version that passes.'))
      else '[]'
    end
  ) as reasons,
  p.version, coalesce(v.contract_version, d.contract_version) as contract_version, p.verdict_id,
  coalesce(v.is_bootstrapped, false) as bootstrapped, coalesce(v.warnings, 0) as warnings,
  interlock.now() as as_of, d.lease_until as valid_until,
  jsonb_build_object(
    'last_partition', f.last_partition, 'lag_seconds', f.lag_seconds, 'sla_seconds', extract(epoch from d.freshness)) as freshness,
  null::jsonb as waiver,
  (select extract(epoch from k.offset_from_real) from interlock.clock k) as clock_offset_seconds
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
left join interlock.verdict v on v.verdict_id = p.verdict_id
cross join lateral (
  select exists (
    select from interlock.claim c
    where c.domain = d.domain and c.expires_at > clock_timestamp() and (c.partition = p.partition or p.partition = 'all')) as now
) as running
cross join lateral (
  select case
    when p.withdrawn_at is not null then 'quarantined'
    when exists (
      select from interlock.cause c where c.dataset_id = p.dataset_id and c.partition = p.partition and c.cleared_at is null) then 'unsafe'
    when p.version is null then case when running.now then 'checking' else 'unknown' end
    when d.lease_until is null or d.lease_until <= interlock.now() then 'unknown'
    when running.now and p.partition <> 'all' then 'rebuilding'
    else 'safe'
  end as state
) as s
left join lateral (
  select b.version from interlock.verdict b
  where b.dataset_id = p.dataset_id and b.partition = p.partition and b.outcome = 'failed' and b.version > p.version
  order by b.version desc limit 1
) as held on true
left join lateral (
  select max(r.starts_on) as last_partition,
    extract(epoch from interlock.now() - (max(r.starts_on) + 1)::timestamptz)::bigint as lag_seconds
  from interlock.readable_partition r where r.dataset_id = p.dataset_id
) as f on true;

-- The answer to one question, always of one shape. Without a partition it answers for the dataset: fresh within its
-- SLA, and every partition inside its window safe.
create function interlock.ask(dataset text, partition text default null) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset;
  answer jsonb;
  newest date;
  parts jsonb;
begin
  select * into strict d from interlock.dataset where dataset_id = interlock.dataset_id_of(ask.dataset);
  if ask.partition is not null or d.grain = 'all' then
    select to_jsonb(s) into answer from interlock.safety s
    where s.dataset = d.name and s.partition = coalesce(ask.partition, 'all');
    if answer is not null then
      return answer;
    end if;
    return jsonb_build_object(
      'dataset', d.name, 'partition', coalesce(ask.partition, 'all'), 'state', 'unknown', 'safe', false,
      'reasons', jsonb_build_array(jsonb_build_object('code', 'never_seen', 'message', 'Nothing was ever delivered or built for this partition.',
        'clears', 'A run of its domain for this partition.')),
      'version', null, 'contract_version', d.contract_version, 'verdict_id', null, 'bootstrapped', false, 'warnings', 0,
      'as_of', interlock.now(), 'valid_until', null,
      'freshness', jsonb_build_object('last_partition', null, 'lag_seconds', null, 'sla_seconds', extract(epoch from d.freshness)),
      'waiver', null,
      'clock_offset_seconds', (select extract(epoch from k.offset_from_real) from interlock.clock k));
  end if;

  -- The window ends with the newest partition that anything is known of, so a bad newest day cannot hide behind good ones.
  select max(p.starts_on) into newest from interlock.partition p where p.dataset_id = d.dataset_id;
  select jsonb_agg(to_jsonb(s) order by s.partition desc) into parts from interlock.safety s
  where s.dataset = d.name and s.partition::date > newest - d.window_partitions;
  answer := coalesce(parts -> 0, interlock.ask(d.name, to_char(coalesce(newest, current_date), 'YYYY-MM-DD')));
  answer := answer || jsonb_build_object(
    'partition', null, 'version', null, 'verdict_id', null,
    'state', 'safe', 'safe', true,
    'reasons', coalesce((
      select jsonb_agg(r || jsonb_build_object('partition', s ->> 'partition'))
      from jsonb_array_elements(parts) s, jsonb_array_elements(s -> 'reasons') r where not (s ->> 'safe')::boolean), '[]'));
  if parts is null then
    return answer || jsonb_build_object('state', 'unknown', 'safe', false, 'reasons', jsonb_build_array(jsonb_build_object(
      'code', 'never_seen', 'message', 'No partition of this dataset is known.', 'clears', 'A run of its domain.')));
  end if;
  if exists (select from jsonb_array_elements(parts) s where not (s ->> 'safe')::boolean) then
    answer := answer || jsonb_build_object('safe', false, 'state', (
      select s ->> 'state' from jsonb_array_elements(parts) s where not (s ->> 'safe')::boolean
      order by array_position(array['unsafe', 'quarantined', 'checking', 'unknown'], s ->> 'state') limit 1));
  end if;
  if jsonb_array_length(parts) < d.window_partitions and (answer ->> 'safe')::boolean then
    answer := answer || jsonb_build_object('safe', false, 'state', 'unknown', 'reasons', jsonb_build_array(jsonb_build_object(
      'code', 'window_incomplete', 'message', format('%s of the %s partitions of the window are known.', jsonb_array_length(parts), d.window_partitions),
      'clears', 'Runs of its domain for the missing partitions.')));
  end if;
  if d.freshness is not null and coalesce((answer #>> '{freshness,lag_seconds}')::numeric > extract(epoch from d.freshness), true) then
    answer := jsonb_set(answer || jsonb_build_object('safe', false,
      'state', case when (answer ->> 'safe')::boolean then 'unknown' else answer ->> 'state' end),
      '{reasons}', (answer -> 'reasons') || jsonb_build_array(jsonb_build_object('code', 'stale',
        'message', format('The newest safe partition is %s: older than its SLA allows.', coalesce(answer #>> '{freshness,last_partition}', 'none')),
        'clears', 'A newer partition that passes its gates.')));
  end if;
  return answer || jsonb_build_object('valid_until', least(
    (answer ->> 'valid_until')::timestamptz,
    ((answer #>> '{freshness,last_partition}')::date + 1)::timestamptz + d.freshness));
end;
$$;

create function interlock.is_safe(dataset text, partition text default null) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if is_safe.partition is null then
    return coalesce((interlock.ask(is_safe.dataset) ->> 'safe')::boolean, false);
  end if;
  return interlock.is_partition_safe(interlock.dataset_id_of(is_safe.dataset), is_safe.partition);
end;
$$;

create function interlock.require_safe(dataset text, partition text default null) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  answer jsonb;
begin
  if interlock.is_safe(require_safe.dataset, require_safe.partition) then
    return;
  end if;
  answer := interlock.ask(require_safe.dataset, require_safe.partition);
  raise exception '% partition % is %: %', require_safe.dataset, coalesce(require_safe.partition, 'window'), answer ->> 'state',
    coalesce((select string_agg(r ->> 'message', ' ') from jsonb_array_elements(answer -> 'reasons') r), 'no reason is recorded')
    using errcode = 'IL020', detail = answer::text, hint = format('interlock explain %s', require_safe.dataset);
end;
$$;

-- Every (dataset, partition) downstream of one, with the shortest path. Edges that do not reopen are not followed.
create function interlock.downstream(of_dataset integer, of_partition text)
returns table (dataset_id integer, partition text, path text[], depth integer)
language sql stable
begin atomic
  with recursive walk as (
    select d.dataset_id, of_partition as partition, array[d.name] as path, 0 as depth
    from interlock.dataset d where d.dataset_id = of_dataset
    union all
    select n.dataset_id, t.partition, w.path || n.name, w.depth + 1
    from walk w
    join interlock.edge e on e.upstream_id = w.dataset_id and (e.mapping <> 'all' or e.reopens)
    join interlock.dataset n on n.dataset_id = e.downstream_id
    cross join lateral (
      select w.partition as partition where e.mapping = 'same'
      union all
      select p.partition from interlock.partition p
      where e.mapping = 'window' and p.dataset_id = n.dataset_id
        and p.starts_on between w.partition::date and w.partition::date + e.lookback
      union all
      select p.partition from interlock.partition p where e.mapping = 'all' and p.dataset_id = n.dataset_id and p.version is not null
    ) as t
    where not n.name = any (w.path)
  )
  select distinct on (walk.dataset_id, walk.partition) walk.dataset_id, walk.partition, walk.path, walk.depth
  from walk where walk.depth > 0 order by walk.dataset_id, walk.partition, walk.depth, walk.path;
end;

-- Opens a cause where it began and on everything downstream, and tells owners once for each episode.
create function interlock.open_cause(
  run_id bigint, of_dataset integer, of_partition text, code text, message text, clears text, evidence jsonb) returns bigint
language plpgsql as $$
declare
  origin bigint;
  name text := (select d.name from interlock.dataset d where d.dataset_id = of_dataset);
begin
  -- The newest finding of a kind replaces the older one of its kind, and what hung on it.
  update interlock.cause c set cleared_at = clock_timestamp(), cleared_by = open_cause.run_id
  where c.cleared_at is null and (
    (c.dataset_id = of_dataset and c.partition = of_partition and c.code in ('delivery_refused', 'not_delivered', 'build_failed', 'gate_failed')
      and c.origin_id is null)
    or c.origin_id in (
      select o.cause_id from interlock.cause o
      where o.dataset_id = of_dataset and o.partition = of_partition and o.cleared_at is null and o.origin_id is null
        and o.code in ('delivery_refused', 'not_delivered', 'build_failed', 'gate_failed')));

  insert into interlock.partition (dataset_id, partition, starts_on)
  select of_dataset, of_partition, case when of_partition <> 'all' then of_partition::date end
  union all
  select w.dataset_id, w.partition, case when w.partition <> 'all' then w.partition::date end
  from interlock.downstream(of_dataset, of_partition) w
  on conflict do nothing;

  insert into interlock.cause (dataset_id, partition, code, message, clears, evidence, path, opened_by)
  values (of_dataset, of_partition, open_cause.code, open_cause.message, open_cause.clears, open_cause.evidence, array[name], open_cause.run_id)
  returning cause_id into origin;
  insert into interlock.cause (dataset_id, partition, code, message, clears, path, origin_id, opened_by)
  select w.dataset_id, w.partition, 'input_unsafe', format('%s partition %s is not safe: %s', name, of_partition, open_cause.message),
    format('%s partition %s becomes safe, and this is rebuilt from it.', name, of_partition), w.path, origin, open_cause.run_id
  from interlock.downstream(of_dataset, of_partition) w;

  insert into interlock.event (kind, dataset_id, partition, run_id, actor, payload)
  values ('cause_opened', of_dataset, of_partition, open_cause.run_id, 'gate',
    jsonb_build_object('cause_id', origin, 'code', open_cause.code, 'message', open_cause.message));
  insert into interlock.notice (owner, dataset_id, partition, kind, cause_id)
  select d.owner, c.dataset_id, c.partition, 'unsafe', c.cause_id
  from interlock.cause c join interlock.dataset d on d.dataset_id = c.dataset_id
  where (c.cause_id = origin or c.origin_id = origin) and c.cleared_at is null
    and 'unsafe' is distinct from (
      select n.kind from interlock.notice n where n.dataset_id = c.dataset_id and n.partition = c.partition order by n.notice_id desc limit 1);
  return origin;
end;
$$;

-- What a bad delivery leaves behind: a record, and a cause unless the contract keeps serving the last good version.
create function interlock.refuse_delivery(
  run_id bigint, token bigint, dataset text, partition text, source_file text, content_hash text, outcome text,
  code text, message text, clears text, evidence jsonb)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset;
begin
  perform interlock.require_claim(refuse_delivery.run_id, token, refuse_delivery.partition);
  select * into strict d from interlock.dataset where dataset_id = interlock.dataset_id_of(dataset) and layer = 'raw';
  insert into interlock.delivery (dataset_id, partition, run_id, source_file, content_hash, outcome, error)
  values (d.dataset_id, refuse_delivery.partition, refuse_delivery.run_id, refuse_delivery.source_file, refuse_delivery.content_hash,
    refuse_delivery.outcome, jsonb_build_object('code', code, 'message', message, 'evidence', evidence));
  if d.on_gate_failure = 'withhold' or not interlock.is_partition_safe(d.dataset_id, refuse_delivery.partition) then
    perform interlock.open_cause(refuse_delivery.run_id, d.dataset_id, refuse_delivery.partition,
      case refuse_delivery.outcome when 'absent' then 'not_delivered' else 'delivery_refused' end,
      message, clears, evidence || jsonb_build_object('error', code));
  end if;
end;
$$;

-- A candidate that could not even be built or sealed: for its readers the same as one that failed its gate.
create function interlock.report_build_failure(run_id bigint, token bigint, dataset text, partition text, message text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset;
begin
  perform interlock.require_claim(report_build_failure.run_id, token, report_build_failure.partition);
  select * into strict d from interlock.dataset where dataset_id = interlock.dataset_id_of(dataset);
  if d.on_gate_failure = 'withhold' or not interlock.is_partition_safe(d.dataset_id, report_build_failure.partition) then
    perform interlock.open_cause(report_build_failure.run_id, d.dataset_id, report_build_failure.partition, 'build_failed',
      report_build_failure.message, 'A model or an input that builds, and a rerun of this partition.', '{}');
  end if;
end;
$$;

-- Records what a gate found, for each partition of a version. The outcome is derived here: every clause that blocks
-- must be there and must have succeeded. Nothing found is a failure, not a pass.
create function interlock.record_verdicts(run_id bigint, token bigint, judged_version bigint, results jsonb)
returns table (partition text, outcome text, verdict_id bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  d interlock.dataset;
  v interlock.version;
  failure record;
begin
  select * into v from interlock.version x where x.version = judged_version and x.sealed_at is not null;
  if v.version is null then
    raise exception 'version % is not sealed: only a sealed candidate can be judged', judged_version using errcode = 'IL008';
  end if;
  select * into strict d from interlock.dataset x where x.dataset_id = v.dataset_id;
  perform interlock.require_claim(record_verdicts.run_id, token, r.partition) from jsonb_to_recordset(results) as r (partition text);
  if exists (
    select from jsonb_to_recordset(results) as r (partition text)
    where not exists (select from interlock.version_partition p where p.version = v.version and p.partition = r.partition)
  ) then
    raise exception 'version % does not cover every partition that was judged', judged_version using errcode = 'IL008';
  end if;

  insert into interlock.verdict (
    version, dataset_id, partition, outcome, contract_version, clause_digest, is_bootstrapped, warnings, evidence, run_id)
  select v.version, d.dataset_id, r.partition,
    case when d.clauses <@ coalesce((
      select array_agg(e ->> 'clause') from jsonb_array_elements(r.evidence) e where (e ->> 'success')::boolean), '{}')
      and cardinality(d.clauses) > 0 then 'passed' else 'failed' end,
    d.contract_version, d.clause_digest, coalesce(r.bootstrapped, false),
    (select count(*) from jsonb_array_elements(r.evidence) e
     where not coalesce((e ->> 'success')::boolean, false) and not e ->> 'clause' = any (d.clauses)),
    r.evidence, record_verdicts.run_id
  from jsonb_to_recordset(results) as r (partition text, evidence jsonb, bootstrapped boolean);

  insert into interlock.measure (version, partition, name, value)
  select v.version, r.partition, m.key, (m.value #>> '{}')::double precision
  from jsonb_to_recordset(results) as r (partition text, measures jsonb), jsonb_each(coalesce(r.measures, '{}')) m
  on conflict do nothing;

  if d.layer = 'raw' then
    update interlock.load l set state = 'rejected'
    where l.load_id = v.version and l.state <> 'accepted'
      and exists (select from interlock.verdict x where x.version = v.version and x.run_id = record_verdicts.run_id and x.outcome = 'failed');
  end if;

  for failure in
    select distinct on (x.partition) x.partition, x.verdict_id, x.outcome, (
      select string_agg(coalesce(e ->> 'message', e ->> 'clause'), '; ')
      from jsonb_array_elements(x.evidence) e
      where not coalesce((e ->> 'success')::boolean, false) and e ->> 'clause' = any (d.clauses)) as message, (
      select string_agg(c, ', ') from unnest(d.clauses) c
      where not exists (select from jsonb_array_elements(x.evidence) e where e ->> 'clause' = c)) as missing
    from interlock.verdict x join jsonb_to_recordset(results) as r (partition text) on r.partition = x.partition
    where x.version = v.version
    order by x.partition, x.verdict_id desc
  loop
    if failure.outcome = 'failed'
      and (d.on_gate_failure = 'withhold' or not interlock.is_partition_safe(d.dataset_id, failure.partition)) then
      perform interlock.open_cause(record_verdicts.run_id, d.dataset_id, failure.partition, 'gate_failed',
        coalesce(failure.message, 'never evaluated: ' || failure.missing, 'the contract has no clause that blocks'),
        'A delivery or a model that passes the gate, and a rerun of this partition.',
        jsonb_build_object('verdict_id', failure.verdict_id, 'version', v.version));
    end if;
  end loop;

  return query
  select distinct on (x.partition) x.partition, x.outcome, x.verdict_id
  from interlock.verdict x join jsonb_to_recordset(results) as r (partition text) on r.partition = x.partition
  where x.version = v.version order by x.partition, x.verdict_id desc;
end;
$$;
