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
  code text not null check (code in (
    'delivery_refused', 'not_delivered', 'build_failed', 'gate_failed', 'input_unsafe', 'input_replaced', 'was_retired', 'quarantined',
    'found_bad')),
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
create trigger append_only before delete or truncate on interlock.cause
for each statement execute function interlock.refuse_change();

-- Keeps the number of open causes beside the pointer, where readers look. A cause without a partition row is refused.
create function interlock.count_cause() returns trigger
language plpgsql as $$
declare
  change integer := (new.cleared_at is null)::integer;
begin
  if tg_op = 'UPDATE' then
    change := change - (old.cleared_at is null)::integer;
  end if;
  if change <> 0 then
    update interlock.partition p set open_causes = p.open_causes + change
    where p.dataset_id = new.dataset_id and p.partition = new.partition;
    if not found then
      raise exception 'there is no partition % of dataset % for a cause', new.partition, new.dataset_id;
    end if;
  end if;
  return null;
end;
$$;
create trigger count_cause after insert or update of cleared_at on interlock.cause
for each row execute function interlock.count_cause();

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
create index on interlock.notice (dataset_id, partition, notice_id);

-- The partitions whose served version readers may see.
create view interlock.readable_partition as
select p.dataset_id, p.partition, p.starts_on, p.version
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
where p.version is not null
  and p.withdrawn_at is null
  and p.open_causes = 0
  and d.lease_until > now() + coalesce((select k.offset_from_real from interlock.clock k), interval '0');

-- In plpgsql, because its plan is kept: `interlock.is_safe` costs microseconds, not a planning.
create function interlock.is_partition_safe(of_dataset integer, of_partition text) returns boolean
language plpgsql stable as $$
begin
  return exists (
    select from interlock.readable_partition r where r.dataset_id = of_dataset and r.partition = of_partition);
end;
$$;

-- The state of a partition, from its pointer and what is known around it.
create function interlock.state_of(p interlock.partition, is_retired boolean, is_leased boolean, is_running boolean) returns text
language sql immutable parallel safe
return case
  when is_retired then 'unknown'
  when p.withdrawn_at is not null then 'quarantined'
  when p.open_causes > 0 then 'unsafe'
  when p.version is null then case when is_running then 'checking' else 'unknown' end
  when is_leased is not true then 'unknown'
  when is_running and p.partition <> 'all' then 'rebuilding'
  else 'safe'
end;

-- What everybody is told of a dataset that was taken out of use; null of any other.
create function interlock.retired_reason(d interlock.dataset) returns jsonb
language sql stable
return case when d.retired_at is not null then jsonb_build_object(
  'code', 'retired',
  'message', format('The dataset was retired by %s at %s UTC: %s', d.retired_by,
    to_char(d.retired_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), d.retired_because),
  'clears', format('Its contract, and `interlock contract restore %s`.', d.name)) end;

-- The newest waiver of a served version, if there is one. A function of its own, planned where something is not safe alone.
create function interlock.waiver_of(of_version bigint, of_partition text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (
    select jsonb_build_object('consumer', w.consumer, 'expires_at', w.expires_at, 'reason', w.reason, 'action', w.action_id)
    from interlock.waived_partition w where w.version = of_version and w.partition = of_partition
    order by w.waiver_id desc limit 1);
end;
$$;

create view interlock.safety as
select
  d.name as dataset, p.partition, s.state, s.state in ('safe', 'rebuilding') as safe,
  coalesce(
    case when d.retired_at is not null then jsonb_build_array(interlock.retired_reason(d)) end,
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
        'clears', 'A version that passes.', 'evidence', jsonb_build_object('verdict_id', held.verdict_id, 'version', held.version)))
      when v.clause_digest <> d.clause_digest then jsonb_build_array(jsonb_build_object('code', 'judged_by_earlier_clauses',
        'message', format('Its verdict stands on contract %s; the clauses that block have changed since (%s).', v.contract_version, d.contract_version),
        'clears', 'A rerun of this partition.'))
      else '[]'
    end
  ) as reasons,
  p.version, coalesce(v.contract_version, d.contract_version) as contract_version, p.verdict_id,
  coalesce(v.is_bootstrapped, false) as bootstrapped, coalesce(v.warnings, 0) as warnings,
  interlock.now() as as_of, d.lease_until as valid_until,
  jsonb_build_object(
    'last_partition', f.last_partition, 'lag_seconds', f.lag_seconds, 'sla_seconds', extract(epoch from d.freshness)) as freshness,
  case when s.state not in ('safe', 'rebuilding') then interlock.waiver_of(p.version, p.partition) end as waiver,
  (select extract(epoch from k.offset_from_real) from interlock.clock k) as clock_offset_seconds,
  d.domain, d.layer
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
left join interlock.verdict v on v.verdict_id = p.verdict_id
cross join lateral (
  select exists (
      select from interlock.claim c where c.domain = d.domain and c.partition = p.partition and c.expires_at > clock_timestamp())
    or (p.partition = 'all' and exists (
      select from interlock.claim c where c.domain = d.domain and c.expires_at > clock_timestamp())) as now
) as running
cross join lateral (
  select interlock.state_of(p, d.retired_at is not null, d.lease_until > interlock.now(), running.now) as state
  offset 0  -- derived once, and not again wherever it is mentioned
) as s
left join lateral (
  select b.version, b.verdict_id from interlock.verdict b
  where b.dataset_id = p.dataset_id and b.partition = p.partition and b.outcome = 'failed' and b.version > p.version
  order by b.version desc limit 1
) as held on true
left join lateral (
  select r.starts_on as last_partition,
    extract(epoch from interlock.now() - (r.starts_on + 1)::timestamptz)::bigint as lag_seconds
  from interlock.readable_partition r where r.dataset_id = p.dataset_id and r.starts_on is not null
  order by r.starts_on desc limit 1
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
    select to_jsonb(s) - '{domain,layer}'::text[] into answer from interlock.safety s
    where s.dataset = d.name and s.partition = coalesce(ask.partition, 'all');
    if answer is not null then
      return answer;
    end if;
    return jsonb_build_object(
      'dataset', d.name, 'partition', coalesce(ask.partition, 'all'), 'state', 'unknown', 'safe', false,
      'reasons', jsonb_build_array(case
        when d.retired_at is not null then interlock.retired_reason(d)
        when d.grain = 'all' and ask.partition <> 'all' then jsonb_build_object('code', 'no_such_partition',
          'message', 'This dataset is not partitioned by day.', 'clears', 'Ask for its one partition, `all`.')
        when d.grain = 'day' and ask.partition !~ '^\d{4}-\d\d-\d\d$' then jsonb_build_object('code', 'no_such_partition',
          'message', 'This dataset is partitioned by day.', 'clears', 'Ask for a day, as YYYY-MM-DD.')
        else jsonb_build_object('code', 'never_seen', 'message', 'Nothing was ever delivered or built for this partition.',
          'clears', 'A run of its domain for this partition.') end),
      'version', null, 'contract_version', d.contract_version, 'verdict_id', null, 'bootstrapped', false, 'warnings', 0,
      'as_of', interlock.now(), 'valid_until', null,
      'freshness', jsonb_build_object('last_partition', null, 'lag_seconds', null, 'sla_seconds', extract(epoch from d.freshness)),
      'waiver', null,
      'clock_offset_seconds', (select extract(epoch from k.offset_from_real) from interlock.clock k));
  end if;

  -- The window ends with the newest partition that anything is known of, so a bad newest day cannot hide behind good ones.
  select max(p.starts_on) into newest from interlock.partition p where p.dataset_id = d.dataset_id;
  if d.retired_at is not null then
    return interlock.ask(d.name, to_char(coalesce(newest, current_date), 'YYYY-MM-DD'))
      || jsonb_build_object('partition', null, 'version', null, 'verdict_id', null);
  end if;
  select jsonb_agg(to_jsonb(s) - '{domain,layer}'::text[] order by s.partition desc) into parts from interlock.safety s
  where s.dataset = d.name and interlock.starts_on(s.partition) > newest - d.window_partitions;
  answer := coalesce(parts -> 0, interlock.ask(d.name, to_char(coalesce(newest, current_date), 'YYYY-MM-DD')));
  answer := answer || jsonb_build_object(
    'partition', null, 'version', null, 'verdict_id', null, 'waiver', null,
    'state', case when parts @> '[{"state": "rebuilding"}]' then 'rebuilding' else 'safe' end, 'safe', true,
    'bootstrapped', coalesce(parts @> '[{"bootstrapped": true}]', false),
    'warnings', (select coalesce(sum((s ->> 'warnings')::integer), 0) from jsonb_array_elements(parts) s),
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
