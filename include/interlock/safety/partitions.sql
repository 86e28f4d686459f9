-- Partitions of a dataset as everybody is told of them, newest first, with the run and the rows of what is served.
select
  s.partition, s.state, s.safe, s.version, s.reasons -> 0 ->> 'message' as reason, p.published_at, p.published_by as run_id,
  v.rows, s.verdict_id, s.warnings, s.bootstrapped, s.waiver
from interlock.dataset d
join interlock.partition p on p.dataset_id = d.dataset_id
join interlock.safety s on s.dataset = d.name and s.partition = p.partition
left join interlock.version_partition v on v.version = p.version and v.partition = p.partition
where d.name = %(dataset)s
  and (%(states)s::text[] is null or s.state = any (%(states)s))
  and (%(partitions)s::text[] is null or p.partition = any (%(partitions)s))
  and (%(partition_from)s::date is null or p.starts_on >= %(partition_from)s)
  and (%(partition_to)s::date is null or p.starts_on <= %(partition_to)s)
  and (%(after_partition)s::text is null or p.partition < %(after_partition)s)
order by p.partition desc
limit %(limit)s
