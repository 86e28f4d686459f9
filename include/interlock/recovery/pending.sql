-- Rebuilds that wait, unless they have failed too often to try again without a person.
select distinct domain, partition
from interlock.rebuild
where done_at is null and attempts < %(max_attempts)s
order by domain, partition
