-- The path of the nearest open cause of a partition, dataset by dataset, and of each the partition that it runs through:
-- the root's own, the one that is asked about, and between them one that the same fact holds back, of that day where it is.
with asked as (
  select c.cause_id, c.path, c.partition, coalesce(o.cause_id, c.cause_id) as root_id, coalesce(o.partition, c.partition) as root_partition,
    coalesce(o.path, c.path) as root_path, c.evidence
  from interlock.cause c
  join interlock.dataset d on d.dataset_id = c.dataset_id
  left join interlock.cause o on o.cause_id = c.origin_id
  where d.name = %(dataset)s and c.partition = %(partition)s and c.cleared_at is null
  order by cardinality(c.path), c.cause_id
  limit 1
),
step as (
  select n.place, d.dataset_id, d.name, d.layer, d.domain, case
    when n.place = cardinality(a.path) then a.partition
    when n.name = a.root_path[cardinality(a.root_path)] then a.root_partition
    -- Before the root there is what it names as its input: it was published, and is no trouble itself.
    when n.place < cardinality(a.root_path) then coalesce(r.evidence ->> 'input_partition', a.partition)
    else coalesce((
      select w.partition from interlock.cause w
      where w.origin_id = a.root_id and w.cleared_at is null and w.dataset_id = d.dataset_id
      order by w.partition <> a.partition, w.partition desc limit 1), a.partition)
  end as partition
  from asked a
  join interlock.cause r on r.cause_id = a.root_id
  cross join lateral unnest(a.path) with ordinality as n (name, place)
  join interlock.dataset d on d.name = n.name
)
select jsonb_build_object(
  'nodes', jsonb_agg(jsonb_build_object('dataset', s.name, 'partition', s.partition, 'layer', s.layer, 'domain', s.domain,
    'state', interlock.ask(s.name, s.partition) ->> 'state') order by s.place),
  'edges', coalesce((
    select jsonb_agg(jsonb_build_array(f.name, t.name) order by f.place) from step f join step t on t.place = f.place + 1), '[]'),
  'root', (select f.name from step f where f.place = 1))
from step s
having count(*) > 0
