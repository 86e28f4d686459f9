-- Safe partitions that more than one version was published of, the newest first.
select d.name, p.partition
from interlock.safety s
join interlock.dataset d on d.name = s.dataset
join interlock.partition p on p.dataset_id = d.dataset_id and p.partition = s.partition
where s.state = 'safe' and d.layer <> 'raw' and d.retired_at is null
  and exists (
    select from interlock.event e
    where e.dataset_id = d.dataset_id and e.partition = p.partition and e.kind = 'published'
      and (e.payload ->> 'version')::bigint < p.version)
order by p.starts_on desc nulls last, d.name
limit 50
