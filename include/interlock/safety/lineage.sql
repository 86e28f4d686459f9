-- The registered lineage around one dataset, or all of it, with the state of each and what stands on it.
with recursive up as (
  select d.dataset_id, 0 as depth from interlock.dataset d where d.name = %(dataset)s
  union
  select e.upstream_id, u.depth + 1 from up u join interlock.edge e on e.downstream_id = u.dataset_id
  where %(is_up)s and u.depth < %(depth)s
),
down as (
  select d.dataset_id, 0 as depth from interlock.dataset d where d.name = %(dataset)s
  union
  select e.downstream_id, w.depth + 1 from down w join interlock.edge e on e.upstream_id = w.dataset_id
  where %(is_down)s and w.depth < %(depth)s
),
shown as materialized (
  select d.dataset_id, d.name, d.domain, d.layer, interlock.ask(d.name) ->> 'state' as state
  from interlock.dataset d
  where d.retired_at is null
    and (%(dataset)s::text is null
      or exists (select from up u where u.dataset_id = d.dataset_id) or exists (select from down w where w.dataset_id = d.dataset_id))
    and (%(domains)s::text[] is null or d.domain = any (%(domains)s))
),
standing as (
  select t.kind, jsonb_agg(jsonb_build_object('name', t.name, 'owner', t.owner, 'contact', t.contact, 'datasets', x.datasets)
    order by t.name) as listed
  from interlock.dependent t
  cross join lateral (
    select jsonb_agg(s.name order by s.name) as datasets from shown s where s.dataset_id = any (t.dataset_ids)) as x
  where x.datasets is not null
  group by t.kind
)
select jsonb_build_object(
  'nodes', (
    select coalesce(jsonb_agg(jsonb_build_object('dataset', s.name, 'domain', s.domain, 'layer', s.layer, 'state', s.state)
      order by s.domain, array_position(array['raw', 'staged', 'curated'], s.layer), s.name), '[]')
    from shown s),
  'edges', (
    select coalesce(jsonb_agg(jsonb_build_object('upstream', u.name, 'downstream', n.name, 'mapping', e.mapping,
      'lookback', e.lookback, 'reopens', e.reopens) order by u.name, n.name), '[]')
    from interlock.edge e
    join shown u on u.dataset_id = e.upstream_id
    join shown n on n.dataset_id = e.downstream_id),
  'consumers', coalesce((select s.listed from standing s where s.kind = 'consumer'), '[]'),
  'metrics', coalesce((select s.listed from standing s where s.kind = 'metric'), '[]'))
