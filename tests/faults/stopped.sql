-- What stopped a delivery or a candidate: the clauses that block and failed, and the errors of what was refused.
select d.name, v.partition, e ->> 'clause' as said
from interlock.verdict as v
inner join interlock.dataset as d on v.dataset_id = d.dataset_id
cross join lateral jsonb_array_elements(v.evidence) as e
where v.outcome = 'failed' and e ->> 'success' = 'false' and e ->> 'severity' <> 'warning'
union all
select d.name, r.partition, coalesce(r.error ->> 'code', r.outcome) as said
from interlock.delivery as r
inner join interlock.dataset as d on r.dataset_id = d.dataset_id
where r.outcome in ('refused', 'quarantined') or r.error is not null
order by 1, 2, 3
