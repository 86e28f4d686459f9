-- Who relied on what while it was safe: checks, reads and metric values, so that a recall knows whom to tell. No events: there
-- are too many. One row for each minute and whatever is alike in it, which only grows, and goes with its retention.

create table interlock.reliance_basis (
  basis_id bigint generated always as identity primary key,
  digest bytea not null unique,
  partitions text[] not null,
  versions bigint[] not null,
  check (cardinality(partitions) = cardinality(versions) and cardinality(versions) > 0)
);
create index on interlock.reliance_basis using gin (versions);
comment on table interlock.reliance_basis is
  'Several partitions that were given out together, each in its version. Once, however often the same ones are.';

create table interlock.reliance (
  minute timestamptz not null,
  who text not null check (length(who) between 1 and 120),
  via text not null check (via in ('api', 'client', 'airflow', 'cli', 'sql', 'dbt')),
  consumer text check (length(consumer) between 1 and 120),
  kind text not null check (kind in ('check', 'read', 'metric')),
  dataset_id integer not null references interlock.dataset,
  partition text,
  version bigint,
  basis_id bigint references interlock.reliance_basis,
  first_day date,
  last_day date,
  safe boolean not null,
  metric text check (length(metric) <= 120),
  value double precision,
  about text check (length(about) <= 120),
  first_at timestamptz not null,
  last_at timestamptz not null,
  count bigint not null check (count > 0),
  check (partition is null or basis_id is null),
  check (first_at <= last_at),
  constraint one_row_a_minute unique nulls not distinct (
    dataset_id, partition, minute, version, basis_id, last_day, first_day, safe, kind, via, who, consumer, metric, value, about)
);
create index on interlock.reliance (minute, who);
create index on interlock.reliance (basis_id) where basis_id is not null;
comment on column interlock.reliance.who is
  'By cli, sql and dbt: the login of the database that asked. Else whom the platform''s own surface had logged in.';
comment on column interlock.reliance.first_day is 'With last_day: the window that an answer about the dataset spoke for.';

create table interlock.reliance_gap (
  minute timestamptz not null,
  recorder text not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  count bigint not null check (count > 0),
  primary key (minute, recorder)
);
comment on table interlock.reliance_gap is 'Records that were dropped: how many, within which time, and where.';

-- A minute that is counted may be counted on, and nothing else about it may change.
create function interlock.refuse_rewriting() returns trigger
language plpgsql as $$
begin
  if new.count > old.count and new.first_at <= old.first_at and new.last_at >= old.last_at
    and to_jsonb(new) - '{first_at,last_at,count}'::text[] = to_jsonb(old) - '{first_at,last_at,count}'::text[] then
    return new;
  end if;
  raise exception '% is append-only: update is refused', tg_table_name using errcode = 'IL010';
end;
$$;
create trigger only_grows before update on interlock.reliance
for each row execute function interlock.refuse_rewriting();
create trigger only_grows before update on interlock.reliance_gap
for each row execute function interlock.refuse_rewriting();
create trigger append_only before delete or truncate on interlock.reliance
for each statement execute function interlock.refuse_change();
create trigger append_only before delete or truncate on interlock.reliance_gap
for each statement execute function interlock.refuse_change();
create trigger append_only before update or delete or truncate on interlock.reliance_basis
for each statement execute function interlock.refuse_change();

create function interlock.basis_digest(partitions text[], versions bigint[]) returns bytea
language sql immutable
return sha256(convert_to(partitions::text || versions::text, 'UTF8'));

create function interlock.keep_basis(parts text[], numbers bigint[]) returns void
language sql
begin atomic
  insert into interlock.reliance_basis (digest, partitions, versions) values (interlock.basis_digest(parts, numbers), parts, numbers)
  on conflict (digest) do nothing;
end;

-- Adds notes to their minutes. In the order of their keys, so that two who write the same ones wait and do not deadlock.
create function interlock.add_reliances(notes jsonb) returns void
language plpgsql as $$
begin
  perform interlock.keep_basis(n.partitions, n.versions)
  from (select distinct x.partitions, x.versions from jsonb_to_recordset(notes) as x (partitions text[], versions bigint[])) as n
  where cardinality(n.versions) > 0
  order by interlock.basis_digest(n.partitions, n.versions);

  insert into interlock.reliance as r (
    dataset_id, partition, minute, version, basis_id, first_day, last_day, safe, kind, via, who, consumer, metric, value, about,
    first_at, last_at, count)
  select d.dataset_id, n.partition, date_trunc('minute', n.first_at, 'UTC'), n.version, b.basis_id,
    n.newest - d.window_partitions + 1, n.newest, n.safe, n.kind, n.via, n.who, n.consumer, n.metric, n.value, n.about,
    min(n.first_at), max(n.last_at), sum(n.count)
  from jsonb_to_recordset(notes) as n (
    who text, via text, kind text, dataset text, partition text, version bigint, safe boolean, consumer text, metric text,
    value double precision, about text, newest date, partitions text[], versions bigint[], first_at timestamptz, last_at timestamptz,
    count bigint)
  join interlock.dataset d on d.name = n.dataset
  left join interlock.reliance_basis b on b.digest = interlock.basis_digest(n.partitions, n.versions)
  group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  order by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  on conflict on constraint one_row_a_minute do update set first_at = least(r.first_at, excluded.first_at), last_at = greatest(r.last_at, excluded.last_at),
    count = r.count + excluded.count;
end;
$$;

create function interlock.add_reliance_gap(by_recorder text, first_at timestamptz, last_at timestamptz, dropped bigint) returns void
language sql
begin atomic
  insert into interlock.reliance_gap as g (minute, recorder, first_at, last_at, count)
  values (date_trunc('minute', add_reliance_gap.first_at, 'UTC'), by_recorder, add_reliance_gap.first_at, add_reliance_gap.last_at, dropped)
  on conflict (minute, recorder) do update set first_at = least(g.first_at, excluded.first_at),
    last_at = greatest(g.last_at, excluded.last_at), count = g.count + excluded.count;
end;

-- What the platform's own surfaces noted. Whoever asks the database itself is noted by it: nobody is noted here as a login.
create function interlock.record_reliances(notes jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
begin
  if exists (
    select from jsonb_to_recordset(notes) as n (via text) where n.via is null or n.via not in ('api', 'client', 'airflow')) then
    raise exception 'what a surface of the platform notes was asked by way of api, client or airflow' using errcode = 'invalid_parameter_value';
  end if;
  perform interlock.add_reliances(notes);
end;
$$;

create function interlock.record_reliance_gap(recorder text, first_at timestamptz, last_at timestamptz, dropped bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
  select interlock.add_reliance_gap(left(recorder, 200), record_reliance_gap.first_at, record_reliance_gap.last_at, dropped);
end;

-- What is noted of one login. No row of the table: whoever fills one in waits for whoever has the table locked.
create type interlock.told as (
  via text, consumer text, kind text, dataset_id integer, partition text, version bigint, basis_id bigint, first_day date,
  last_day date, safe boolean, metric text, value double precision, about text);

-- Notes what the login of this session was told: `who` is that login, and nothing else can be said of it. A minute of one login
-- has so many rows at most; what is beyond them is counted as a gap. Whatever goes wrong, whoever asked gets their answer.
create function interlock.note_own(told interlock.told) returns void
language plpgsql set lock_timeout = '200ms' as $$
declare
  now constant timestamptz := clock_timestamp();
  this_minute constant timestamptz := date_trunc('minute', now, 'UTC');
  most constant integer := 200;
begin
  if (
    select count(*) from (
      select from interlock.reliance r
      where r.minute = this_minute and r.who = session_user and r.via in ('cli', 'sql', 'dbt') limit most) as c
  ) >= most then
    perform interlock.add_reliance_gap(session_user::text, now, now, 1);
    return;
  end if;
  insert into interlock.reliance as r (
    minute, who, via, consumer, kind, dataset_id, partition, version, basis_id, first_day, last_day, safe, metric, value, about,
    first_at, last_at, count)
  values (this_minute, session_user, told.via, told.consumer, told.kind, told.dataset_id, told.partition, told.version, told.basis_id,
    told.first_day, told.last_day, told.safe, told.metric, told.value, told.about, now, now, 1)
  on conflict on constraint one_row_a_minute do update set last_at = excluded.last_at, count = r.count + 1;
exception when others then
  null;
end;
$$;

create function interlock.require_way(via text) returns void
language plpgsql immutable as $$
begin
  if via is null or via not in ('cli', 'sql', 'dbt') then
    raise exception 'asked by way of %? It is cli, sql or dbt', coalesce(quote_literal(via), 'nothing')
      using errcode = 'invalid_parameter_value';
  end if;
end;
$$;

create function interlock.require_registered(consumer text) returns void
language plpgsql stable as $$
begin
  if consumer is not null and not exists (
    select from interlock.dependent x where x.kind = 'consumer' and x.name = require_registered.consumer) then
    raise exception 'no consumer is registered as "%"', consumer using errcode = 'IL021',
      hint = 'Consumers are the exposures of the dbt project, under the names that they have there.';
  end if;
end;
$$;

-- `ask`, and a note that this login was told. `consumer` is the registered one that it was for.
create function interlock.check(dataset text, partition text default null, consumer text default null, via text default 'sql') returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  answer constant jsonb := interlock.ask(dataset, partition);
  d interlock.dataset;
  told interlock.told;
begin
  perform interlock.require_way(via), interlock.require_registered(consumer);
  select * into strict d from interlock.dataset x where x.name = answer ->> 'dataset';
  told.kind := 'check';
  told.dataset_id := d.dataset_id;
  told.partition := answer ->> 'partition';
  told.version := (answer ->> 'version')::bigint;
  told.safe := (answer ->> 'safe')::boolean;
  told.consumer := consumer;
  told.via := via;
  if told.partition is null then
    told.last_day := (answer #>> '{freshness,last_partition}')::date;
    told.first_day := told.last_day - d.window_partitions + 1;
  end if;
  perform interlock.note_own(told);
  return answer;
end;
$$;

-- Notes that this login was given rows, or a metric's value, that rest on these versions of partitions. What was never served
-- in such a version is left out.
create function interlock.rely(
  kind text, dataset text, versions jsonb, consumer text default null, metric text default null, value double precision default null,
  about text default null, via text default 'sql') returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  told interlock.told;
  parts text[];
  numbers bigint[];
begin
  perform interlock.require_way(rely.via), interlock.require_registered(rely.consumer);
  if rely.kind is null or rely.kind not in ('read', 'metric') then
    raise exception 'what is noted is a read or a metric; a check is noted by interlock.check' using errcode = 'invalid_parameter_value';
  end if;
  told.dataset_id := interlock.dataset_id_of(rely.dataset);
  select array_agg(g.partition order by g.partition), array_agg(g.version order by g.partition) into parts, numbers
  from jsonb_each_text(rely.versions) as t (partition, number)
  join interlock.version_partition g on g.version = t.number::bigint and g.partition = t.partition
  join interlock.version v on v.version = g.version and v.dataset_id = told.dataset_id;
  if parts is null then
    return;
  elsif cardinality(parts) = 1 then
    told.partition := parts[1];
    told.version := numbers[1];
  else
    perform interlock.keep_basis(parts, numbers);
    told.basis_id := (select b.basis_id from interlock.reliance_basis b where b.digest = interlock.basis_digest(parts, numbers));
  end if;
  told.kind := rely.kind;
  told.safe := true;
  told.consumer := rely.consumer;
  told.metric := left(rely.metric, 120);
  told.value := rely.value;
  told.about := left(rely.about, 120);
  told.via := rely.via;
  perform interlock.note_own(told);
end;
$$;

-- When which version of a partition stood, that is was served and safe, and what ended that (null: it stands). From the events
-- that moved the pointer and the causes that were open. Leases are left out: while one has run out nobody is served either.
create function interlock.stood(of_dataset integer, of_partition text)
returns table (version bigint, since timestamptz, until timestamptz, ended_by jsonb)
language plpgsql stable as $$
#variable_conflict use_column
begin
  return query
  with pointer as (
    select (e.payload ->> 'version')::bigint as version, e.at as since, lead(e.at) over w as until,
      lead(e.kind) over w as kind, lead((e.payload ->> 'version')::bigint) over w as next
    from interlock.event e
    where e.dataset_id = of_dataset and e.partition = of_partition and e.kind in ('published', 'rolled_back', 'reinstated')
    window w as (order by e.position)
  ),
  trouble as (
    select c.opened_at as since, c.cleared_at as until, jsonb_build_object('code', c.code, 'message', c.message) as said
    from interlock.cause c where c.dataset_id = of_dataset and c.partition = of_partition
    union all
    select e.at, lead(e.at) over (order by e.position),
      jsonb_build_object('code', e.kind, 'message', format('Retired by %s: %s', e.actor, e.payload ->> 'reason'))
    from interlock.event e where e.dataset_id = of_dataset and e.partition is null and e.kind in ('retired', 'restored')
  ),
  hidden as (
    select coalesce(range_agg(tstzrange(t.since, t.until)), '{}') as spans from trouble t
    where t.said ->> 'code' <> 'restored' and t.since < coalesce(t.until, 'infinity')
  ),
  stand as (
    select p.version, lower(s.span) as since, upper(s.span) as until, p.until as moved_at, p.kind, p.next
    from pointer p cross join hidden h
    cross join lateral unnest(tstzmultirange(tstzrange(p.since, p.until)) - h.spans) as s (span)
    where p.since < coalesce(p.until, 'infinity')
  )
  select s.version, s.since, s.until, case
    when s.until is null then null
    when s.until = s.moved_at and s.next = s.version then jsonb_build_object('code', 'judged_again',
      'message', format('Version %s was judged again and published.', s.version))
    when s.until = s.moved_at then jsonb_build_object('code', case s.kind when 'published' then 'replaced' else s.kind end,
      'message', format('Version %s took its place.', s.next))
    else (select t.said from trouble t where t.since = s.until order by t.said ->> 'code' limit 1) end
  from stand s
  -- A publish closes what is open against the version before it, and then moves the pointer, in one transaction.
  where s.until is distinct from s.moved_at or s.until is null or s.until - s.since > interval '2 seconds'
    or not exists (select from trouble t where t.until = s.since)
  order by s.since;
end;
$$;
create index on interlock.cause (dataset_id, partition, opened_at);

-- Everything that was built from one version of a partition, that itself first: by which way, by which run.
create function interlock.built_from(of_dataset integer, of_partition text, of_version bigint)
returns table (dataset_id integer, partition text, version bigint, depth integer, path text[])
language plpgsql stable as $$
#variable_conflict use_column
begin
  return query
  with recursive walk as (
    select of_dataset as dataset_id, of_partition as partition, of_version as version, 0 as depth,
      array[(select d.name from interlock.dataset d where d.dataset_id = of_dataset)] as path
    union
    select v.dataset_id, i.partition, i.version, w.depth + 1, w.path || d.name
    from walk w
    join interlock.input i on i.input_id = w.dataset_id and i.input_partition = w.partition and i.input_version = w.version
    join interlock.version v on v.version = i.version
    join interlock.dataset d on d.dataset_id = v.dataset_id
  )
  select distinct on (w.dataset_id, w.partition, w.version) w.* from walk w
  order by w.dataset_id, w.partition, w.version, w.depth, w.path;
end;
$$;

-- What people were told about a version that no longer stands: once for each end of it, whoever tells them again.
create table interlock.recall_notice (
  notice_id bigint generated always as identity primary key,
  recipient text not null check (recipient <> ''),
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  version bigint not null references interlock.version,
  ended_at timestamptz not null,
  title text not null,
  body text not null,
  created_at timestamptz not null default clock_timestamp(),
  sent_at timestamptz,
  unique (dataset_id, partition, version, ended_at, recipient)
);
create index on interlock.recall_notice (notice_id) where sent_at is null;

-- Writes what is to be told; returns whom it was not told before. One event for all of them.
create function interlock.tell_recall(
  dataset text, partition text, version bigint, ended_at timestamptz, notices jsonb, actor text) returns text[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  of_dataset constant integer := interlock.dataset_id_of(tell_recall.dataset);
  told text[];
begin
  perform interlock.decide_alone();
  if not exists (
    select from interlock.stood(of_dataset, tell_recall.partition) s
    where s.version = tell_recall.version and s.until = tell_recall.ended_at) then
    raise exception '"%" partition % version % did not cease to be safe at %', tell_recall.dataset, tell_recall.partition,
      tell_recall.version, tell_recall.ended_at using errcode = 'IL017', hint = 'Look again: what is served has changed meanwhile.';
  end if;
  with written as (
    insert into interlock.recall_notice (recipient, dataset_id, partition, version, ended_at, title, body)
    select n.recipient, of_dataset, tell_recall.partition, tell_recall.version, tell_recall.ended_at, n.title, n.body
    from jsonb_to_recordset(notices) as n (recipient text, title text, body text)
    on conflict do nothing
    returning recipient
  )
  select array_agg(w.recipient order by w.recipient) into told from written w;
  if told is not null then
    insert into interlock.event (kind, dataset_id, partition, actor, payload)
    values ('recalled', of_dataset, tell_recall.partition, tell_recall.actor,
      jsonb_build_object('version', tell_recall.version, 'ended_at', tell_recall.ended_at, 'told', to_jsonb(told)));
  end if;
  return coalesce(told, '{}');
end;
$$;

create function interlock.mark_recall_notices_sent(sent bigint[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
  update interlock.recall_notice n set sent_at = clock_timestamp() where n.notice_id = any (sent);
end;

create function interlock.prune_reliances(older interval) returns table (reliances bigint, gaps bigint, told bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
begin
  lock table interlock.reliance_basis in share row exclusive mode;  -- whoever writes one now may be about to stand on it
  perform interlock.permit_pruning('interlock.reliance', 'interlock.reliance_basis', 'interlock.reliance_gap');
  delete from interlock.reliance r where r.minute < interlock.before(older);
  get diagnostics reliances = row_count;
  delete from interlock.reliance_gap g where g.minute < interlock.before(older);
  get diagnostics gaps = row_count;
  delete from interlock.reliance_basis b where not exists (select from interlock.reliance r where r.basis_id = b.basis_id);
  delete from interlock.recall_notice n where n.sent_at < interlock.before(older);
  get diagnostics told = row_count;
  perform interlock.revoke_pruning();
  return next;
end;
$$;

grant select on interlock.reliance, interlock.reliance_basis, interlock.reliance_gap, interlock.recall_notice
to interlock_operator, interlock_auditor;
grant execute on function interlock.record_reliances, interlock.record_reliance_gap, interlock.tell_recall, interlock.mark_recall_notices_sent,
  interlock.prune_reliances
to interlock_operator;
grant execute on function interlock.stood, interlock.built_from, interlock.starts_on to interlock_operator, interlock_auditor;
-- Asking, and being noted for it: everybody who asks.
grant execute on function interlock.check, interlock.rely to interlock_consumer, interlock_developer, interlock_operator, interlock_auditor;
