-- The steps into one partition of a version, and into everything that it was built from, back to the files.
with recursive version_of as (
  -- Asked of a partition: the served version, or the newest that was accounted for where nothing is served.
  select d.dataset_id, %(partition)s::text as partition, coalesce(
    p.version,
    (select max(l.version) from interlock.ledger l where l.dataset_id = d.dataset_id and l.partition = %(partition)s)) as version
  from interlock.dataset d
  left join interlock.partition p on p.dataset_id = d.dataset_id and p.partition = %(partition)s
  where d.name = %(dataset)s
),
came_from as (
  select v.dataset_id, v.partition, v.version, 0 as depth from version_of v
  union
  select i.input_id, i.input_partition, i.input_version, c.depth + 1
  from came_from c
  join interlock.input i on i.version = c.version and i.partition = c.partition
  join interlock.dataset u on u.dataset_id = i.input_id
  -- Along what was accounted for: a dimension that was only looked into has accounts of its own.
  where exists (
    select from interlock.ledger l where l.version = c.version and l.partition = c.partition and l.input = u.name)
),
-- Increments are read all together: what is served of them is every load up to the newest, less those that were replaced.
loads as (
  select c.dataset_id, c.partition, l.load_id as version, c.depth
  from came_from c
  join interlock.dataset d on d.dataset_id = c.dataset_id and d.is_increment
  join interlock.load l on l.dataset_id = c.dataset_id and l.partition = c.partition and l.state = 'accepted' and l.load_id <= c.version
    and not interlock.is_replaced(l.load_id, c.version)
  union
  select dataset_id, partition, version, depth from came_from
),
judged as (
  select distinct on (l.version, l.partition, l.input) l.*
  from interlock.ledger l
  join loads x on x.version = l.version and x.partition = l.partition
  order by l.version, l.partition, l.input, l.entry_id desc
)
select
  d.name, d.domain, d.layer, j.partition, j.version, j.version is not distinct from p.version as is_served,
  j.input, j.unit, j.read, j.quarantined, j.deduplicated, j.dropped, j.added, j.written, j.lost,
  j.doubled, j.reasons, j.balances, j.run_id, j.recorded_at
from judged j
join (select version, partition, max(depth) as depth from loads group by 1, 2) as x on x.version = j.version and x.partition = j.partition
join interlock.dataset d on d.dataset_id = j.dataset_id
left join interlock.partition p on p.dataset_id = j.dataset_id and p.partition = j.partition
order by x.depth desc, d.name, j.partition, j.version, j.input
