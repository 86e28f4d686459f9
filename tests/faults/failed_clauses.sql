-- Which clauses failed in any verdict on some partitions.
select v.partition, d.name, e ->> 'clause' as clause, e ->> 'severity' as severity
from interlock.verdict as v
inner join interlock.dataset as d on v.dataset_id = d.dataset_id
cross join lateral jsonb_array_elements(v.evidence) as e
where v.partition = any(%s) and e ->> 'success' = 'false'
