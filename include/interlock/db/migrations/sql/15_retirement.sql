-- Retiring: a dataset whose contract is gone for good is taken out of use, by a person and for a reason. Its rows, versions,
-- verdicts and events stay; nothing reads it any more, and nothing but its return makes it safe again.

-- No contract, run or renewal brings it back in passing: whoever tries is told who retired it, and why.
create function interlock.refuse_retired() returns trigger
language plpgsql as $$
begin
  raise exception '"%" was retired by % at % UTC: %', old.name, old.retired_by,
    to_char(old.retired_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), old.retired_because using errcode = 'IL014',
    hint = format('Delete its contract again; or, if it is to be used again: interlock contract restore %s --reason "..."', old.name);
end;
$$;
create trigger refuse_retired before update on interlock.dataset
for each row when (old.retired_at is not null and new.retired_at is not null) execute function interlock.refuse_retired();

-- Retires a dataset that nobody reads: neither by the lineage nor in any version that is served.
create function interlock.retire_dataset(dataset text, reason text, actor text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset;
  readers text;
begin
  perform interlock.decide_alone();
  select x.* into strict d from interlock.dataset x where x.dataset_id = interlock.dataset_id_of(retire_dataset.dataset);
  select string_agg(r.name, ', ' order by r.name) into readers from interlock.dataset r
  where r.retired_at is null and r.dataset_id <> d.dataset_id and (
    exists (select from interlock.edge e where e.upstream_id = d.dataset_id and e.downstream_id = r.dataset_id)
    or exists (
      select from interlock.input i
      join interlock.partition p on p.version = i.version and p.partition = i.partition
      where i.input_id = d.dataset_id and p.dataset_id = r.dataset_id));
  if readers is not null then
    raise exception '"%" cannot be retired: it is read by %, or what is served of them was built from it', d.name, readers
      using errcode = 'IL012', hint = 'Nothing was changed. Retire those first; or put the contract back, and run them without it.';
  end if;
  update interlock.dataset x
  set retired_at = clock_timestamp(), retired_by = actor, retired_because = reason, lease_until = null
  where x.dataset_id = d.dataset_id;
  delete from interlock.edge e where d.dataset_id in (e.upstream_id, e.downstream_id);
  update interlock.rebuild b set done_at = clock_timestamp() where b.dataset_id = d.dataset_id and b.done_at is null;
  insert into interlock.event (kind, dataset_id, actor, payload)
  values ('retired', d.dataset_id, actor, jsonb_build_object('reason', reason));
end;
$$;

-- Takes a retired dataset into use again. Nobody watched it, nor what it was built from: each partition that was served has
-- to pass its gate anew before it is safe.
create function interlock.restore_dataset(dataset text, reason text, actor text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  d interlock.dataset;
begin
  perform interlock.decide_alone();
  select x.* into strict d from interlock.dataset x where x.dataset_id = interlock.dataset_id_of(restore_dataset.dataset);
  if d.retired_at is null then
    raise exception '"%" is in use: it was not retired', d.name using errcode = 'IL014';
  end if;
  update interlock.dataset x set retired_at = null, retired_by = null, retired_because = null, lease_until = interlock.now()
  where x.dataset_id = d.dataset_id;
  perform interlock.open_root(null, d.dataset_id, p.partition, 'was_retired',
    format('The dataset was retired from %s UTC until now, and nobody looked after this partition.',
      to_char(d.retired_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')),
    'A run of this partition that passes its gate.', jsonb_build_object('version', p.version), array[d.name])
  from interlock.partition p where p.dataset_id = d.dataset_id and p.version is not null;
  insert into interlock.event (kind, dataset_id, actor, payload)
  values ('restored', d.dataset_id, actor, jsonb_build_object('reason', reason, 'was_retired_because', d.retired_because));
end;
$$;

grant execute on function interlock.retire_dataset, interlock.restore_dataset to interlock_operator;
grant execute on function interlock.retired_reason
to interlock_consumer, interlock_developer, interlock_operator, interlock_auditor,
  interlock_loader, interlock_builder, interlock_gate, interlock_publisher;
