-- Rebuilds that wait, unless they have failed too often to try again without a person, or a run is at work on them now.
select distinct r.domain, r.partition
from interlock.rebuild r
where r.done_at is null and r.attempts < %(max_attempts)s
  and not exists (
    select from interlock.claim c where c.domain = r.domain and c.partition = r.partition and interlock.is_held(c))
order by r.domain, r.partition
