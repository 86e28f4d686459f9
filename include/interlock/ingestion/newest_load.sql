-- The newest load of a partition (of a feed of increments: of that increment, unless any is asked for), and whether its gate
-- still has to speak: because it has not accepted it yet, or because the partition has been refused something since.
select
  l.load_id, l.content_hash, l.bytes, v.rows, l.state = 'accepted' as is_accepted,
  l.state <> 'accepted' or (
    l.load_id = p.version and exists (
      select from interlock.cause c
      where c.dataset_id = l.dataset_id and c.partition = l.partition and c.cleared_at is null)) as needs_gate
from interlock.load l
join interlock.version v on v.version = l.load_id
join interlock.dataset d on d.dataset_id = l.dataset_id
left join interlock.partition p on p.dataset_id = l.dataset_id and p.partition = l.partition
where d.name = %(dataset)s and l.partition = %(partition)s and l.state <> 'loading'
  -- What was never accepted and is older than what is served could not be published any more: it has to be loaded again.
  and (l.state = 'accepted' or l.load_id > greatest(p.version, %(after)s))
  and (%(is_any)s or not d.is_increment
    or (l.delivered_on, l.sequence) is not distinct from (%(delivered_on)s::date, %(sequence)s::bigint))
order by l.load_id desc
limit 1
