-- What a run published above raw, and what of it is still served.
select d.name, p.partition
from interlock.partition p
join interlock.dataset d on d.dataset_id = p.dataset_id
where p.published_by = %(run_id)s and d.layer <> 'raw'
order by d.name, p.partition
