-- Rows that were set aside, by partition, load and reason, and versions that were withdrawn.
with hidden as (
  select 'rows' as kind, q.dataset, q.domain, q.partition, q.load_id as number, q.state, q.reasons, count(*) as rows,
    min(q.quarantined_at) as since, max(q.source_file) as source_file, max(q.contract_version) as contract_version,
    max(q.discard_reason) as discard_reason, null::bigint as action_id
  from interlock.row_quarantine q
  where (%(domains)s::text[] is null or q.domain = any (%(domains)s))
    and (%(datasets)s::text[] is null or q.dataset = any (%(datasets)s))
  group by q.dataset, q.domain, q.partition, q.load_id, q.state, q.reasons
  union all
  select 'version', d.name, d.domain, p.partition, p.withdrawn_version, 'withdrawn', array[coalesce(c.message, 'It was withdrawn.')],
    v.rows, p.withdrawn_at, l.source_file, x.contract_version, null, (c.evidence ->> 'action')::bigint
  from interlock.partition p
  join interlock.dataset d on d.dataset_id = p.dataset_id
  join interlock.version x on x.version = p.withdrawn_version
  left join interlock.version_partition v on v.version = p.withdrawn_version and v.partition = p.partition
  left join interlock.load l on l.load_id = p.withdrawn_version
  left join lateral (
    select c.message, c.evidence from interlock.cause c
    where c.dataset_id = p.dataset_id and c.partition = p.partition and c.cleared_at is null and c.code = 'quarantined'
    order by c.cause_id desc limit 1
  ) as c on true
  where p.withdrawn_at is not null
    and (%(domains)s::text[] is null or d.domain = any (%(domains)s))
    and (%(datasets)s::text[] is null or d.name = any (%(datasets)s))
)
select h.* from hidden h
where (%(kinds)s::text[] is null or h.kind = any (%(kinds)s))
  and h.state = any (coalesce(%(states)s::text[], array['held', 'withdrawn']))
  and (%(partitions)s::text[] is null or h.partition = any (%(partitions)s))
  and (%(partition_from)s::text is null or (h.partition <> 'all' and h.partition >= %(partition_from)s))
  and (%(partition_to)s::text is null or h.partition <= %(partition_to)s)
  and (%(since)s::timestamptz is null or h.since >= %(since)s)
  and (%(until)s::timestamptz is null or h.since < %(until)s)
  and (%(after_dataset)s::text is null
    or h.dataset > %(after_dataset)s
    or (h.dataset = %(after_dataset)s and (h.partition < %(after_partition)s
      or (h.partition = %(after_partition)s
        and (h.kind, h.number, array_to_string(h.reasons, ',')) > (%(after_kind)s, %(after_number)s, %(after_reasons)s)))))
order by h.dataset, h.partition desc, h.kind, h.number, array_to_string(h.reasons, ',')
limit %(limit)s
