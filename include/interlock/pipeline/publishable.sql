-- Sealed candidates of a run that passed, and whose inputs from this same run passed too.
with newest as (
  select distinct on (x.dataset_id) x.version, x.dataset_id from interlock.version x
  where x.run_id = %(run_id)s and x.sealed_at is not null order by x.dataset_id, x.version desc
),
judged as (
  select distinct on (n.version, c.partition) n.version, n.dataset_id, c.partition, c.outcome
  from newest n join interlock.verdict c on c.version = n.version
  order by n.version, c.partition, c.verdict_id desc
)
select j.partition, d.name, j.version
from judged j
join interlock.dataset d on d.dataset_id = j.dataset_id and d.layer = %(layer)s
left join interlock.partition p on p.dataset_id = j.dataset_id and p.partition = j.partition
where j.outcome = 'passed'
  and j.version > coalesce(p.version, 0)  -- what another run has published since is newer
  and not exists (
    select from interlock.input i
    join newest u on u.version = i.input_version
    left join judged up on up.version = i.input_version and up.partition = i.input_partition
    where i.version = j.version and i.partition = j.partition and up.outcome is distinct from 'passed'
  )
