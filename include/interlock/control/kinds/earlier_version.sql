-- What a partition serves, the version to go back to (the one named, or the last that was published before), and for how many
-- hours, begun ones counted whole, readers have been without it.
select p.version, e.version, e.hours
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
left join lateral (
  select (x.payload ->> 'version')::bigint as version,
    ceil(extract(epoch from clock_timestamp() - coalesce(max(r.at), clock_timestamp())) / 3600)::integer as hours
  from interlock.event x
  left join interlock.event r on r.dataset_id = x.dataset_id and r.partition = x.partition
    and r.kind in ('published', 'rolled_back', 'reinstated') and r.payload ->> 'replaces' = x.payload ->> 'version'
  where x.dataset_id = d.dataset_id and x.partition = p.partition and x.kind = 'published' and case
    when %(version)s::bigint is not null then (x.payload ->> 'version')::bigint = %(version)s
    -- What is served is the last good version itself, where all that is open speaks of something newer that was held.
    when p.open_causes > 0 and p.withdrawn_at is null and not exists (
      select from interlock.cause c
      where c.dataset_id = p.dataset_id and c.partition = p.partition and c.cleared_at is null
        and (c.origin_id is not null or c.code in ('input_replaced', 'was_retired') or c.evidence ->> 'version' = p.version::text)
    ) then (x.payload ->> 'version')::bigint = p.version
    else (x.payload ->> 'version')::bigint < p.version
  end
  group by 1 order by 1 desc limit 1
) as e on true
where d.name = %(dataset)s and p.partition = %(partition)s
