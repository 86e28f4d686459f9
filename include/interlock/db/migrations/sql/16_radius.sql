-- The blast radius: what an action or a failure touches, and who stands on it: consumers and metrics, from dbt's manifest.

create table interlock.dependent (
  kind text not null check (kind in ('consumer', 'metric')),
  name text not null check (name <> ''),
  owner text,
  contact text,
  dataset_ids integer[] not null,
  primary key (kind, name)
);
comment on table interlock.dependent is
  'What stands on datasets without being one: dbt''s exposures are consumers. Written from the dbt manifest alone.';
comment on column interlock.dependent.owner is 'Of a consumer: dbt knows no owner of a metric.';
grant select on interlock.dependent to interlock_operator, interlock_auditor;

-- Makes exactly these known: what is missing among them is gone.
create function interlock.register_dependents(dependents jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from interlock.dependent x where not exists (
    select from jsonb_to_recordset(dependents) as n (kind text, name text) where n.kind = x.kind and n.name = x.name);
  insert into interlock.dependent (kind, name, owner, contact, dataset_ids)
  select n.kind, n.name, n.owner, n.contact, array(select interlock.dataset_id_of(dataset) from unnest(n.datasets) as dataset)
  from jsonb_to_recordset(dependents) as n (kind text, name text, owner text, contact text, datasets text[])
  on conflict (kind, name) do update
  set owner = excluded.owner, contact = excluded.contact, dataset_ids = excluded.dataset_ids;
end;
$$;

-- What a radius says of the datasets in it, whichever of their partitions it touches. Of no dataset: nothing, and `low`.
create function interlock.radius_of_datasets(touched integer[]) returns jsonb
language plpgsql stable as $$
begin
  return (
    select jsonb_build_object(
      'datasets', coalesce(jsonb_agg(d.name order by d.name), '[]'),
      'domains', coalesce(jsonb_agg(distinct d.domain), '[]'),
      'criticality', coalesce(
        (array_agg(d.criticality order by array_position(array['highest', 'high', 'normal', 'low'], d.criticality)))[1], 'low'))
    from interlock.dataset d where d.dataset_id = any (touched)
  ) || (
    select jsonb_build_object(
      'consumers', coalesce(jsonb_agg(x.name order by x.name) filter (where x.kind = 'consumer'), '[]'),
      'metrics', coalesce(jsonb_agg(x.name order by x.name) filter (where x.kind = 'metric'), '[]'))
    from interlock.dependent x where x.dataset_ids && touched
  );
end;
$$;

-- What hangs on some partitions of a dataset, they themselves included; of no dataset, nothing does. Each partition is walked
-- from once, however many ways lead to it: `downstream`, which tells the ways, would walk from it once for each.
create function interlock.blast_radius(of_dataset integer, of_partitions text[]) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  datasets integer[];
  partitions text[];
begin
  with recursive walk as (
    select of_dataset as dataset_id, own as partition from unnest(of_partitions) as own where of_dataset is not null
    union
    select t.dataset_id, t.partition from walk w cross join lateral interlock.dependants(w.dataset_id, w.partition) as t
  )
  select array_agg(w.dataset_id), array_agg(w.partition) into datasets, partitions from walk w;

  return interlock.radius_of_datasets(datasets || of_dataset) || jsonb_build_object(
    'partitions', coalesce(cardinality(partitions), 0),
    'rows', (
      select coalesce(sum(v.rows), 0)
      from unnest(datasets, partitions) as t (dataset_id, partition)
      join interlock.partition p on p.dataset_id = t.dataset_id and p.partition = t.partition
      cross join lateral (
        select p.version as served
        union all
        -- Of increments, those that are served together with the last.
        select l.load_id from interlock.dataset d
        join interlock.load l on l.dataset_id = d.dataset_id and l.partition = p.partition and l.load_id < p.version
        where d.dataset_id = p.dataset_id and d.is_increment and l.state = 'accepted' and not interlock.is_replaced(l.load_id, p.version)
      ) as s
      join interlock.version_partition v on v.version = s.served and v.partition = p.partition),
    'touches', (
      select coalesce(jsonb_object_agg(g.name, g.touched), '{}')
      from (
        select d.name, jsonb_agg(t.partition order by t.partition) as touched
        from unnest(datasets, partitions) as t (dataset_id, partition)
        join interlock.dataset d on d.dataset_id = t.dataset_id
        group by d.name
      ) as g));
end;
$$;

-- What waits while domains (`*` for all), or one dataset alone, stand still: all that reads of it. No partition is touched.
create function interlock.pipeline_radius(domains text[], of_dataset_name text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  halted integer[];
begin
  if of_dataset_name is not null then
    halted := array[interlock.dataset_id_of(of_dataset_name)];
  else
    halted := array(
      select d.dataset_id from interlock.dataset d where ('*' = any (domains) or d.domain = any (domains)) and d.retired_at is null);
  end if;
  with recursive waiting as (
    select unnest(halted) as dataset_id
    union
    select e.downstream_id from waiting w join interlock.edge e on e.upstream_id = w.dataset_id
  )
  select array_agg(w.dataset_id) into halted from waiting w;
  return interlock.radius_of_datasets(halted) || '{"partitions": 0, "rows": 0, "touches": {}}';
end;
$$;

grant execute on function interlock.register_dependents to interlock_operator;
grant execute on function interlock.blast_radius, interlock.pipeline_radius to interlock_controller, interlock_operator, interlock_auditor;
