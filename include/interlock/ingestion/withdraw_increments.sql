-- Increments that were refused, were never accepted in any form, and lie there no more: their producer took them back.
select interlock.record_delivery(
  %(run_id)s, %(token)s, %(dataset)s, x.partition, x.source_file, null, 'withdrawn', null, x.delivered_on, x.sequence)
from interlock.last_delivery x
join interlock.dataset d on d.dataset_id = x.dataset_id and d.is_increment
where d.name = %(dataset)s and x.partition = %(partition)s and x.outcome in ('refused', 'quarantined')
  and not exists (
    select from unnest(%(dates)s::date[], %(sequences)s::bigint[]) as lying (delivered_on, sequence)
    where (lying.delivered_on, lying.sequence) is not distinct from (x.delivered_on, x.sequence))
  and not exists (
    select from interlock.load l
    where l.dataset_id = x.dataset_id and l.partition = x.partition and l.state = 'accepted'
      and (l.delivered_on, l.sequence) is not distinct from (x.delivered_on, x.sequence))
