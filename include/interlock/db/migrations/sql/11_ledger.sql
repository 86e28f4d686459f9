-- The ledger: for each version and partition, where every row went, counted at both ends of each step.

create table interlock.ledger (
  entry_id bigint generated always as identity primary key,
  version bigint not null references interlock.version,
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  run_id bigint not null references interlock.run,
  input text not null,
  unit text not null check (unit in ('rows', 'members')),
  read bigint not null,
  quarantined bigint not null default 0,
  deduplicated bigint not null default 0,
  dropped bigint not null,
  added bigint not null,
  written bigint not null,
  lost bigint not null,
  doubled bigint not null,
  reasons jsonb not null default '{}',
  recorded_at timestamptz not null default clock_timestamp(),
  balances boolean not null generated always as (
    lost = 0 and doubled = 0 and read - quarantined - deduplicated - dropped + added = written) stored
);
create index on interlock.ledger (version, partition);
create trigger append_only before update or delete or truncate on interlock.ledger
for each statement execute function interlock.refuse_change();
comment on table interlock.ledger is 'One step into one partition of one version: from a file into raw, or from a dataset into another.';
comment on column interlock.ledger.input is 'The file, or the dataset, that was read.';
comment on column interlock.ledger.unit is 'What is counted: rows by their identity, or the distinct members of a key.';
comment on column interlock.ledger.quarantined is 'Rows that a gate set aside: they stay in raw.';
comment on column interlock.ledger.deduplicated is 'Rows that were not kept because another one with their key was.';
comment on column interlock.ledger.dropped is 'Rows that a step leaves out for a reason that its contract names.';
comment on column interlock.ledger.reasons is
  'Each of these by reason: {"quarantined": {...}, "deduplicated": {...}, "dropped": {...}, "added": {...}}.';
comment on column interlock.ledger.lost is 'Identities that were read and are nowhere: neither written nor dropped for a reason.';
comment on column interlock.ledger.doubled is 'Identities that were written more often than they were read.';

-- A load's account: what the reader of the file counted, beside what lies in raw.
create function interlock.account_for_load(loaded bigint, read_rows bigint) returns void
language plpgsql as $$
declare
  l interlock.load;
  d interlock.dataset;
  stored bigint;
begin
  select * into strict l from interlock.load x where x.load_id = loaded;
  select * into strict d from interlock.dataset x where x.dataset_id = l.dataset_id;
  execute format('select count(*) from %I.%I where _load_id = %s', 'raw_' || d.domain, d.name, loaded) into stored;
  if stored <> read_rows then
    raise exception 'load % of "%" read % rows and stored %', loaded, d.name, read_rows, stored using errcode = 'IL011',
      hint = 'Nothing of it was kept. Run it again; if it stays, the loader is at fault.';
  end if;
  insert into interlock.ledger (version, dataset_id, partition, run_id, input, unit, read, dropped, added, written, lost, doubled)
  select loaded, d.dataset_id, l.partition, v.run_id, l.source_file, 'rows', read_rows, 0, 0, stored, 0, 0
  from interlock.version v where v.version = loaded;
end;
$$;

-- What a gate counted on both sides of a step, held against what sealing counted; the number of steps that do not balance.
create function interlock.account_for_version(judged bigint, of_run bigint, results jsonb) returns table (partition text, unbalanced bigint)
language sql
begin atomic
  with entry as (
    insert into interlock.ledger as l (
      version, dataset_id, partition, run_id, input, unit, read, deduplicated, dropped, added, written, lost, doubled, reasons)
    select judged, v.dataset_id, r.partition, of_run, a.input, a.unit, a.read,
      (select coalesce(sum(n.value::bigint), 0) from jsonb_each_text(a.deduplicated) n),
      (select coalesce(sum(n.value::bigint), 0) from jsonb_each_text(a.dropped) n),
      (select coalesce(sum(n.value::bigint), 0) from jsonb_each_text(a.added) n),
      a.written,
      -- A gate that saw other rows than were sealed has seen nothing.
      a.lost + case when a.unit = 'rows' and not a.is_sum then greatest(p.rows - a.written, 0) else 0 end,
      a.doubled + case when a.unit = 'rows' and not a.is_sum then greatest(a.written - p.rows, 0) else 0 end,
      jsonb_strip_nulls(jsonb_build_object(
        'deduplicated', nullif(a.deduplicated, '{}'), 'dropped', nullif(a.dropped, '{}'), 'added', nullif(a.added, '{}')))
    from jsonb_to_recordset(results) as r (partition text, evidence jsonb)
    join interlock.version v on v.version = judged
    join interlock.version_partition p on p.version = judged and p.partition = r.partition
    cross join lateral jsonb_array_elements(r.evidence) as e
    cross join lateral jsonb_to_record(e.value -> 'account') as a (
      input text, unit text, is_sum boolean, read bigint, deduplicated jsonb, dropped jsonb, added jsonb, written bigint,
      lost bigint, doubled bigint)
    where e.value ? 'account'
    returning l.partition, l.balances
  )
  select e.partition, count(*) filter (where not e.balances) from entry e group by e.partition;
end;

-- The accounts of what is served: one row for each step into each partition.
create view interlock.accounts as
select d.name as dataset, p.partition, l.version, l.input, l.unit, l.read, l.quarantined, l.deduplicated, l.dropped, l.added,
  l.written, l.lost, l.doubled,
  l.reasons, l.balances, l.recorded_at
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
join interlock.ledger l on l.version = p.version and l.partition = p.partition
where p.version is not null;

grant select on interlock.ledger, interlock.accounts
to interlock_operator, interlock_auditor, interlock_loader, interlock_gate, interlock_publisher, interlock_builder;
grant select on interlock.accounts to interlock_developer;
