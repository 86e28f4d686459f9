-- The newest sealed version of each dataset that a run built in one layer, with the partitions of it that have not passed.
select d.name, v.version, array_agg(p.partition order by p.partition), sum(p.rows)::bigint
from (
  select distinct on (x.dataset_id) x.* from interlock.version x
  where x.run_id = %(run_id)s and x.sealed_at is not null order by x.dataset_id, x.version desc
) as v
join interlock.dataset d on d.dataset_id = v.dataset_id
join interlock.version_partition p on p.version = v.version
where d.layer = %(layer)s
  and 'passed' is distinct from (
    select c.outcome from interlock.verdict c
    where c.version = v.version and c.partition = p.partition and c.clause_digest = d.clause_digest
    order by c.verdict_id desc limit 1)
group by d.name, v.version
