-- Every domain: whether the platform has paused the whole of it, and whether its pause in Airflow is the platform's.
select
  d.domain,
  exists (
    select from interlock.pause p
    where p.resumed_at is null and p.dataset_id is null and p.domain in (d.domain, '*')
  ) as is_paused,
  exists (select from interlock.airflow_pause a where a.dag_id = d.domain) as is_ours
from (select distinct domain from interlock.dataset) d
order by d.domain
