-- Rows that a gate set aside: they stay in raw as they were delivered, and nothing downstream reads them.

create table interlock.quarantined_row (
  load_id bigint not null references interlock.load,
  row_number bigint not null,
  reasons text[] not null check (cardinality(reasons) > 0),
  contract_version text not null,
  verdict_id bigint not null references interlock.verdict,
  quarantined_at timestamptz not null default clock_timestamp(),
  primary key (load_id, row_number)
);
create trigger append_only before update or delete or truncate on interlock.quarantined_row
for each statement execute function interlock.refuse_change();
comment on column interlock.quarantined_row.row_number is 'Of the delivery, the first row after the header being 1: `_row_number` in raw.';
comment on column interlock.quarantined_row.reasons is 'The clauses that the row does not meet.';

create table interlock.discarded_row (
  load_id bigint not null,
  row_number bigint not null,
  reason text not null check (reason <> ''),
  actor text not null check (actor <> ''),
  discarded_at timestamptz not null default clock_timestamp(),
  primary key (load_id, row_number),
  foreign key (load_id, row_number) references interlock.quarantined_row
);
create trigger append_only before update or delete or truncate on interlock.discarded_row
for each statement execute function interlock.refuse_change();

create table interlock.replay (
  replay_id bigint generated always as identity primary key,
  dataset_id integer not null references interlock.dataset,
  partition text not null,
  actor text not null,
  requested_at timestamptz not null default clock_timestamp(),
  done_at timestamptz,
  done_by bigint references interlock.run
);
create unique index on interlock.replay (dataset_id, partition) where done_at is null;
comment on table interlock.replay is 'Wishes to send a partition''s quarantined rows through its gates again; the next run of it carries them out.';

create view interlock.row_quarantine as
select d.name as dataset, d.domain, l.partition, l.load_id, l.source_file, q.row_number, q.reasons, q.contract_version, q.quarantined_at,
  case
    when x.load_id is not null then 'discarded'
    when exists (select from interlock.load r where r.replaces = l.load_id and r.state = 'accepted') then 'replayed'
    when not exists (select from interlock.served_load s where s.load_id = l.load_id) then 'superseded'
    else 'held'
  end as state,
  x.reason as discard_reason, x.actor as discarded_by, x.discarded_at
from interlock.quarantined_row q
join interlock.load l on l.load_id = q.load_id
join interlock.dataset d on d.dataset_id = l.dataset_id
left join interlock.discarded_row x on x.load_id = q.load_id and x.row_number = q.row_number;
comment on view interlock.row_quarantine is
  'held: waits for a replay or a decision. replayed: went through the gates again with a later load. superseded: its partition was delivered anew.';

-- Sets rows of a load aside with the verdict that passed without them, and accounts for them.
create function interlock.set_rows_aside(d interlock.dataset, loaded bigint, part text, verdict bigint, contract_version text, aside jsonb)
returns void
language plpgsql as $$
declare
  kept bigint;
begin
  if d.layer <> 'raw' then
    raise exception 'rows of "%" cannot be set aside: only a feed''s can', d.name using errcode = 'IL008';
  end if;
  insert into interlock.quarantined_row (load_id, row_number, reasons, contract_version, verdict_id)
  select loaded, a.row, a.reasons, set_rows_aside.contract_version, verdict
  from jsonb_to_recordset(aside) as a (row bigint, reasons text[]);
  execute format(
    'select count(*) from %I.%I r where r._load_id = %s and not exists ('
    ' select from interlock.quarantined_row q where q.load_id = r._load_id and q.row_number = r._row_number)',
    'raw_' || d.domain, d.name, loaded) into kept;
  insert into interlock.ledger (
    version, dataset_id, partition, run_id, input, unit, read, quarantined, dropped, added, written, lost, doubled, reasons)
  select loaded, d.dataset_id, part, v.run_id, d.name || ' as loaded', 'rows', p.rows, n.rows, 0, 0, kept,
    greatest(p.rows - n.rows - kept, 0), greatest(kept + n.rows - p.rows, 0),
    jsonb_build_object('quarantined', (
      select jsonb_object_agg(by_reason.reason, by_reason.rows) from (
        select array_to_string(q.reasons, ', ') as reason, count(*) as rows
        from interlock.quarantined_row q where q.load_id = loaded group by 1) as by_reason))
  from interlock.version v
  join interlock.version_partition p on p.version = v.version and p.partition = part
  cross join (select count(*) as rows from interlock.quarantined_row q where q.load_id = loaded) as n
  where v.version = loaded;
end;
$$;

-- Asks for a replay; the number of rows that wait for one. Nothing is asked for where none waits.
create function interlock.request_replay(dataset text, partition text, actor text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  feed integer := interlock.dataset_id_of(dataset);
  waiting bigint;
begin
  select count(*) into waiting from interlock.row_quarantine q
  where q.dataset = dataset and q.partition = partition and q.state in ('held', 'discarded');
  if waiting > 0 then
    insert into interlock.replay as r (dataset_id, partition, actor) values (feed, partition, actor) on conflict do nothing;
    insert into interlock.event (kind, dataset_id, partition, actor, payload)
    values ('replay_requested', feed, partition, actor, jsonb_build_object('rows', waiting));
  end if;
  return waiting;
end;
$$;

-- Carries out a replay: what is served of the partition and has quarantined rows becomes a load of its own again, row for
-- row, and goes through every gate as if it had been delivered now.
create function interlock.replay_loads(run_id bigint, token bigint, dataset text, partition text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  feed interlock.dataset;
  old interlock.load;
  again bigint;
  copied bigint;
  names text;
  replayed integer := 0;
begin
  select * into strict feed from interlock.dataset where dataset_id = interlock.dataset_id_of(replay_loads.dataset);
  perform interlock.require_claim(replay_loads.run_id, replay_loads.token, replay_loads.partition, feed.domain);
  if not exists (
    select from interlock.replay r where r.dataset_id = feed.dataset_id and r.partition = replay_loads.partition and r.done_at is null) then
    return 0;
  end if;
  names := interlock.column_list(feed.columns, false);
  for old in
    select l.* from interlock.load l join interlock.served_load s on s.load_id = l.load_id
    where l.dataset_id = feed.dataset_id and l.partition = replay_loads.partition
      and exists (select from interlock.quarantined_row q where q.load_id = l.load_id)
    order by l.load_id
  loop
    again := interlock.begin_load(replay_loads.run_id, replay_loads.token, feed.name, old.partition, old.delivered_on, old.source_file,
      old.content_hash, old.sequence);
    execute format('insert into %1$I.%2$I (%3$s, _row_number) select %3$s, _row_number from %1$I.%2$I where _load_id = %4$s order by _row_number',
      'raw_' || feed.domain, feed.name, names, old.load_id);
    get diagnostics copied = row_count;
    perform interlock.finish_load(again, copied, old.bytes, old.content_hash, old.fingerprint);
    update interlock.load l set replaces = old.load_id where l.load_id = again;
    replayed := replayed + 1;
  end loop;
  update interlock.replay r set done_at = clock_timestamp(), done_by = replay_loads.run_id
  where r.dataset_id = feed.dataset_id and r.partition = replay_loads.partition and r.done_at is null;
  return replayed;
end;
$$;

-- Gives rows up for good. They stay where they are, and their reason and author with them.
create function interlock.discard_rows(dataset text, partition text, row_numbers bigint[], reason text, actor text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  given_up bigint;
begin
  insert into interlock.discarded_row (load_id, row_number, reason, actor)
  select q.load_id, q.row_number, reason, actor from interlock.row_quarantine q
  where q.dataset = dataset and q.partition = partition and q.state = 'held'
    and (row_numbers is null or q.row_number = any (row_numbers));
  get diagnostics given_up = row_count;
  if given_up > 0 then
    insert into interlock.event (kind, dataset_id, partition, actor, payload)
    values ('rows_discarded', interlock.dataset_id_of(dataset), partition, actor, jsonb_build_object('rows', given_up, 'reason', reason));
  end if;
  return given_up;
end;
$$;

-- What was known of rows that are gone with their load. As long as the rows are there, these entries are what keeps them
-- from being read: a load that a rollback may serve again must not come back with the rows that were set aside from it.
create function interlock.prune_row_quarantine(older interval) returns table (quarantined bigint, replays bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  gone bigint[];
begin
  select array_agg(v.version) into gone from interlock.version v
  where v.pruned_at is not null and exists (
    select from interlock.quarantined_row q where q.load_id = v.version and q.quarantined_at < interlock.before(older));
  perform interlock.permit_pruning('interlock.quarantined_row', 'interlock.discarded_row');
  delete from interlock.discarded_row x where x.load_id = any (gone);
  delete from interlock.quarantined_row q where q.load_id = any (gone);
  get diagnostics quarantined = row_count;
  perform interlock.revoke_pruning();
  delete from interlock.replay r where r.done_at < interlock.before(older);
  get diagnostics replays = row_count;
  return next;
end;
$$;

grant select on interlock.quarantined_row, interlock.discarded_row, interlock.replay, interlock.row_quarantine
to interlock_operator, interlock_auditor, interlock_loader, interlock_gate, interlock_publisher, interlock_builder;
grant execute on function interlock.request_replay, interlock.discard_rows, interlock.prune_row_quarantine to interlock_operator;
grant execute on function interlock.replay_loads to interlock_loader;
