-- Findings: facts about what is served or built, whoever found them. A finding does nothing; rules propose actions from it.

create table interlock.finding (
  finding_id bigint generated always as identity primary key,
  kind text not null check (kind in ('failed_check', 'failed_reconciliation', 'producer_recall', 'held_candidates')),
  dataset_id integer not null references interlock.dataset,
  partition text,
  version bigint references interlock.version,
  count bigint not null check (count > 0),
  root text not null,
  message text not null check (btrim(message) <> ''),
  evidence jsonb not null,
  reported_by jsonb not null,
  reported_at timestamptz not null default clock_timestamp(),
  answered_by bigint references interlock.action,
  note text,
  check ((partition is null) = (kind = 'held_candidates')),
  check ((version is null) = (kind = 'held_candidates'))
);
comment on column interlock.finding.count is 'How many of the kind: rows, differences, held candidates in a row.';
comment on column interlock.finding.root is 'The first fact of the chain that led to it; by default itself.';
comment on column interlock.finding.answered_by is 'The action that took it up.';
comment on column interlock.finding.note is 'Why no action did.';
create unique index one_fact on interlock.finding (kind, dataset_id, partition, version, root) nulls not distinct;
create index on interlock.finding (finding_id) where answered_by is null and note is null;
create index on interlock.finding (dataset_id, finding_id);
create index on interlock.finding (version) where kind = 'producer_recall';
create index on interlock.verdict (dataset_id, verdict_id) where outcome = 'passed';
create index on interlock.verdict (dataset_id, verdict_id) where outcome = 'failed';
create index on interlock.action (version) where kind = 'quarantine_partition' and state = 'executed';

create function interlock.guard_finding() returns trigger
language plpgsql as $$
begin
  if to_jsonb(new) - '{answered_by,note}'::text[] <> to_jsonb(old) - '{answered_by,note}'::text[]
    or old.answered_by is not null or old.note is not null then
    raise exception 'finding % is on record: it is answered once, and never changed', old.finding_id using errcode = 'IL010';
  end if;
  return new;
end;
$$;
create trigger guard_finding before update on interlock.finding
for each row execute function interlock.guard_finding();
create trigger append_only before delete or truncate on interlock.finding
for each statement execute function interlock.refuse_change();

-- Enters a fact; the same fact again is the finding that is there. `fact` has kind, dataset and message, and may have
-- partition, version (default: what is served), count, root and evidence. A fact that has no root is the same as an earlier
-- one as long as that one is unanswered or its answer stands: what is found once more after a release is news.
create function interlock.report_finding(fact jsonb, reported_by jsonb) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  wanted interlock.finding := jsonb_populate_record(null::interlock.finding, fact - '{finding_id,answered_by,note}'::text[]);
  known bigint;
begin
  perform interlock.decide_alone();
  wanted.dataset_id := interlock.dataset_id_of(fact ->> 'dataset');
  if wanted.kind <> 'held_candidates' then
    wanted.version := coalesce(wanted.version, (
      select p.version from interlock.partition p where p.dataset_id = wanted.dataset_id and p.partition = wanted.partition));
    if not exists (
      select from interlock.version v join interlock.version_partition p on p.version = v.version
      where v.version = wanted.version and v.dataset_id = wanted.dataset_id and p.partition = wanted.partition
    ) then
      raise exception 'there is no version % of "%" partition %', coalesce(wanted.version::text, 'that is served'),
        fact ->> 'dataset', coalesce(wanted.partition, 'null') using errcode = 'IL002',
        hint = 'A fact is about one version of one partition: `interlock status` shows what is served.';
    end if;
  end if;
  select f.finding_id into known from interlock.finding f
  left join interlock.action a on a.action_id = f.answered_by
  where f.kind = wanted.kind and f.dataset_id = wanted.dataset_id and f.partition is not distinct from wanted.partition
    and f.version is not distinct from wanted.version
    and case when wanted.root is not null then f.root = wanted.root
      else f.root = 'finding:' || f.finding_id and f.note is null
        and coalesce(a.state in ('proposed', 'approved', 'executed'), true) end;
  if found then
    return known;
  end if;
  known := nextval(pg_get_serial_sequence('interlock.finding', 'finding_id'));
  wanted.root := coalesce(wanted.root, 'finding:' || known);
  insert into interlock.finding (finding_id, kind, dataset_id, partition, version, count, root, message, evidence, reported_by)
  overriding system value
  values (known, wanted.kind, wanted.dataset_id, wanted.partition, wanted.version, coalesce(wanted.count, 1), wanted.root,
    wanted.message, coalesce(wanted.evidence, '{}'), report_finding.reported_by);
  insert into interlock.event (kind, dataset_id, partition, actor, payload)
  values ('finding_reported', wanted.dataset_id, wanted.partition, report_finding.reported_by ->> 'name', jsonb_build_object(
    'finding', known, 'kind', wanted.kind, 'version', wanted.version, 'count', coalesce(wanted.count, 1), 'root', wanted.root,
    'message', wanted.message, 'evidence', coalesce(wanted.evidence, '{}'), 'actor', report_finding.reported_by));
  return known;
end;
$$;

-- Whether an action leaves the facts that it was proposed from without an answer: the world changed before it was carried
-- out, or nobody could ask the policy.
create function interlock.left_unanswered(a interlock.action) returns boolean
language sql immutable
return a.state = 'invalidated' or (a.state = 'rejected' and a.decision ->> 'failure' is not null);

-- An increment that was found bad while another one was withdrawn is still among those that are served when that one is mended
-- or released, and the rules have not answered yet: until they have, nobody is shown it.
create function interlock.name_found_bad(run_id bigint, d interlock.dataset, part text) returns void
language plpgsql as $$
declare
  bad interlock.finding;
begin
  select f.* into bad from interlock.finding f
  join interlock.partition p on p.dataset_id = f.dataset_id and p.partition = f.partition and p.withdrawn_at is null
  where f.dataset_id = d.dataset_id and f.partition = part and f.answered_by is null and f.note is null
    and interlock.is_part_of_served(d, p, f.version)
    and not exists (
      select from interlock.cause c
      where c.dataset_id = f.dataset_id and c.partition = f.partition and c.cleared_at is null and c.code = 'found_bad')
  order by f.finding_id limit 1;
  if found then
    -- As in `open_cause`: this commit waits for the disk.
    perform set_config('synchronous_commit', 'on', true);
    perform interlock.open_root(name_found_bad.run_id, d.dataset_id, part, 'found_bad',
      format('Load %s was found bad (finding %s): %s', bad.version, bad.finding_id, bad.message),
      'That increment delivered again, and accepted; or a decision about the finding.',
      jsonb_build_object('finding', bad.finding_id, 'version', bad.version), array[d.name]);
  end if;
end;
$$;

-- The causes of findings about which it is decided: left, or quarantined, or a person did not want that. What expired, failed or
-- was overtaken decides nothing.
create function interlock.decided_causes() returns setof interlock.cause
language sql stable
begin atomic
  select c.* from interlock.cause c
  join interlock.finding f on f.finding_id = (c.evidence ->> 'finding')::bigint
  left join interlock.action a on a.action_id = f.answered_by
  where c.code = 'found_bad' and c.cleared_at is null
    and (f.note is not null or coalesce(a.state in ('executed', 'rolled_back', 'rejected'), false));
end;

create function interlock.clear_found_bad() returns void
language plpgsql as $$
declare
  gone interlock.cause;
  d interlock.dataset;
begin
  if not exists (select from interlock.decided_causes()) then
    return;
  end if;
  perform interlock.decide_alone();
  for gone in select * from interlock.decided_causes() loop
    select * into strict d from interlock.dataset x where x.dataset_id = gone.dataset_id;
    perform interlock.supersede(null, array[gone.cause_id]);
    perform interlock.name_found_bad(null, d, gone.partition);
    perform interlock.settle(null, d.dataset_id, gone.partition);
    perform interlock.reopen_dependants(null, d.dataset_id, d.name, gone.partition, p.version, '{}')
    from interlock.partition p where p.dataset_id = d.dataset_id and p.partition = gone.partition;
  end loop;
end;
$$;

-- Why nothing is done about a finding.
create function interlock.leave_finding(left_alone bigint, because text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update interlock.finding f set note = because where f.finding_id = left_alone and f.answered_by is null and f.note is null;
  perform interlock.clear_found_bad();
end;
$$;

-- A finding that is evidence of an action is answered by it, also where whoever proposed it did not live to say so.
create function interlock.settle_findings() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update interlock.finding f set answered_by = (
    select min(e.action_id) from interlock.action_evidence e join interlock.action a on a.action_id = e.action_id
    where e.ref = 'finding:' || f.finding_id and not interlock.left_unanswered(a))
  where f.answered_by is null and f.note is null and exists (
    select from interlock.action_evidence e join interlock.action a on a.action_id = e.action_id
    where e.ref = 'finding:' || f.finding_id and not interlock.left_unanswered(a));
  perform interlock.clear_found_bad();
end;
$$;

-- Findings that nothing has come of yet, oldest first: where the version stands that they are about, and how many actions
-- from them came to nothing; the more, the longer until the next. Of increments another one may be withdrawn: then the
-- partition is hidden already and cannot be withdrawn twice, and what is found about this one waits.
create function interlock.open_findings()
returns table (
  finding_id bigint, kind text, dataset text, partition text, version bigint, count bigint, root text, message text,
  evidence jsonb, reported_by jsonb, reported_at timestamptz, standing text, tries bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select f.finding_id, f.kind, d.name, f.partition, f.version, f.count, f.root, f.message, f.evidence, f.reported_by, f.reported_at,
    case
      when f.version is null then case when interlock.stands_still(d) then 'paused' else 'served' end
      when p.withdrawn_version = f.version then 'withdrawn'
      when not coalesce(interlock.is_part_of_served(d, p, f.version), false) then 'gone'
      when p.withdrawn_at is not null then 'hidden'
      else 'served'
    end,
    t.tries
  from interlock.finding f
  join interlock.dataset d on d.dataset_id = f.dataset_id
  left join interlock.partition p on p.dataset_id = f.dataset_id and p.partition = f.partition
  cross join lateral (
    select count(*) as tries from interlock.action_evidence e where e.ref = 'finding:' || f.finding_id
  ) as t
  where f.answered_by is null and f.note is null
    and (t.tries = 0 or f.reported_at + make_interval(secs => 2 ^ least(t.tries, 20)) <= clock_timestamp())
  order by f.finding_id;
end;
create index on interlock.action_evidence (ref);

-- Datasets whose last candidates were all held, whichever partitions they are of: since anything of the dataset passed,
-- at least so many versions failed their gate, and nothing else. Loads are deliveries, not candidates.
create function interlock.held_streaks(at_least bigint)
returns table (dataset text, held bigint, first_version bigint, last_version bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select d.name, s.held, s.first_version, s.last_version
  from interlock.dataset d
  cross join lateral (
    select count(distinct x.version) as held, min(x.version) as first_version, max(x.version) as last_version
    from interlock.verdict x
    where x.dataset_id = d.dataset_id and x.outcome = 'failed' and x.verdict_id > coalesce((
        select max(g.verdict_id) from interlock.verdict g where g.dataset_id = d.dataset_id and g.outcome = 'passed'), 0)
      -- Of a version that covers many days, one may have passed just before another failed.
      and not exists (select from interlock.verdict g where g.version = x.version and g.outcome = 'passed')
  ) as s
  where d.layer <> 'raw' and d.retired_at is null and s.held >= at_least and not interlock.stands_still(d)
  order by d.name;
end;

-- Contents of a feed's partition that its producer recalled or an action withdrew: the same bytes do not come back. Where a
-- person released what a recall had withdrawn, the recall is overruled.
create function interlock.withdrawn_contents(of_feed text, of_partition text)
returns table (content_hash text, load_id bigint, why text)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select l.content_hash, l.load_id, coalesce(
    (
      select f.message from interlock.finding f left join interlock.action a on a.action_id = f.answered_by
      where f.kind = 'producer_recall' and f.version = l.load_id and f.partition = l.partition and a.state is distinct from 'rolled_back'
      order by f.finding_id desc limit 1
    ),
    (
      select format('quarantined by %s (action %s): %s', a.actor ->> 'name', a.action_id, a.rationale) from interlock.action a
      where a.kind = 'quarantine_partition' and a.state = 'executed' and a.version = l.load_id and l.partition = any (a.partitions)
      order by a.action_id desc limit 1
    )) as why
  from interlock.load l
  join interlock.dataset d on d.dataset_id = l.dataset_id
  where d.name = of_feed and l.partition = of_partition and (
    exists (
      select from interlock.finding f left join interlock.action a on a.action_id = f.answered_by
      where f.kind = 'producer_recall' and f.version = l.load_id and f.partition = l.partition and a.state is distinct from 'rolled_back')
    or exists (
      select from interlock.action a
      where a.kind = 'quarantine_partition' and a.state = 'executed' and a.version = l.load_id and l.partition = any (a.partitions)));
end;

-- The loads that are served and that came, or came again, as one of these files; those whose recall is on record are left out.
create function interlock.recallable_loads(of_feed text, partitions text[], files text[])
returns table (partition text, load_id bigint, content_hash text, source_file text, fingerprint text)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select distinct l.partition, l.load_id, l.content_hash, y.source_file, y.fingerprint
  from interlock.dataset d
  join interlock.partition p on p.dataset_id = d.dataset_id and p.partition = any (partitions)
  join interlock.delivery y on y.dataset_id = d.dataset_id and y.partition = p.partition
  join interlock.load l on l.load_id = y.load_id
  where d.name = of_feed and y.source_file = any (files) and y.outcome in ('loaded', 'duplicate')
    and interlock.is_part_of_served(d, p, l.load_id)
    and not exists (
      select from interlock.finding f where f.kind = 'producer_recall' and f.version = l.load_id and f.partition = l.partition)
  order by 1, 2;
end;

grant select on interlock.finding to interlock_operator, interlock_controller, interlock_auditor;
grant execute on function interlock.report_finding to interlock_operator, interlock_controller;
grant execute on function interlock.recallable_loads to interlock_operator;
grant execute on function interlock.leave_finding, interlock.settle_findings, interlock.open_findings, interlock.held_streaks
to interlock_controller;
grant execute on function interlock.withdrawn_contents to interlock_loader;
