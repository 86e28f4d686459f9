-- What stands in a delivery's place: the served load of its partition, or the accepted load of its increment.
select l.content_hash, p.withdrawn_version is not distinct from l.load_id as is_withdrawn
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
join interlock.load l on l.dataset_id = p.dataset_id and l.partition = p.partition and l.load_id <= p.version
where d.name = %(dataset)s and p.partition = %(partition)s and l.state = 'accepted'
  and case
    when d.is_increment then (l.delivered_on, l.sequence) is not distinct from (%(delivered_on)s::date, %(sequence)s::bigint)
    else l.load_id = p.version
  end
order by l.load_id desc
limit 1
