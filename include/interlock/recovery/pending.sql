-- Rebuilds that wait, unless they have failed too often to try again without a person, a run is at work on them now, or their
-- domain or dataset is paused.
select distinct r.domain, r.partition
from interlock.rebuild r
join interlock.dataset d on d.dataset_id = r.dataset_id
where r.done_at is null and r.attempts < %(max_attempts)s and not interlock.stands_still(d)
  and not exists (
    select from interlock.claim c where c.domain = r.domain and c.partition = r.partition and interlock.is_held(c))
order by r.domain, r.partition
