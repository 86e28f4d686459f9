-- When what is served of a partition was delivered; nothing for a feed of increments, which stand beside each other.
select l.delivered_on
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id and not d.is_increment
join interlock.load l on l.load_id = p.version
where d.name = %(dataset)s and p.partition = %(partition)s
