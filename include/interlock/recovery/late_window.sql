-- The days of a feed that a late file may still be for: of those that a run was ever admitted for, the newest accepted one
-- and so many before it.
select p.partition
from interlock.watermark w
join interlock.dataset d on d.dataset_id = w.dataset_id
join interlock.partition newest on newest.dataset_id = w.dataset_id and newest.partition = w.partition
join interlock.partition p
  on p.dataset_id = w.dataset_id and p.starts_on between newest.starts_on - %(days)s::integer and newest.starts_on
where d.name = %(dataset)s
order by p.partition
