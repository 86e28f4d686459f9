-- How many rows these versions of partitions were sealed with.
select coalesce(sum(p.rows), 0)::bigint
from interlock.version_partition p
join unnest(%(versions)s::bigint[], %(partitions)s::text[]) as read (version, partition)
  on p.version = read.version and p.partition = read.partition
