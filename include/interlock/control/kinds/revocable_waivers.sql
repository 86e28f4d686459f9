-- The waiver that an action granted; without one, those that run on a dataset, on some of its partitions, for a consumer.
select w.action_id, w.partitions, w.version, w.consumer
from interlock.waiver w
join interlock.dataset d on d.dataset_id = w.dataset_id
where d.name = %(dataset)s
  and case
    when %(undoes)s::bigint is not null then w.action_id = %(undoes)s::bigint
    else w.revoked_at is null
      and w.expires_at > clock_timestamp()
      and (%(partitions)s::text[] = '{}' or w.partitions && %(partitions)s::text[])
      and w.consumer = coalesce(%(consumer)s::text, w.consumer)
  end
order by w.action_id
