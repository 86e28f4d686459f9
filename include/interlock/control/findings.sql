-- Findings as JSON, newest first: one of them, those of a dataset, or those that nothing has come of yet.
select ((to_jsonb(f) - 'dataset_id') || jsonb_build_object('dataset', d.name))::text
from interlock.finding f
join interlock.dataset d on d.dataset_id = f.dataset_id
where (%(finding_id)s::bigint is null or f.finding_id = %(finding_id)s)
  and (%(dataset)s::text is null or d.dataset_id = interlock.dataset_id_of(%(dataset)s))
  and (not %(is_open)s or (f.answered_by is null and f.note is null))
order by f.finding_id desc
limit %(limit)s
