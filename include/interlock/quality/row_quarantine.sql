-- Rows that were set aside, by partition, load and reason.
select q.dataset, q.domain, q.partition, q.load_id, q.source_file, q.state, q.reasons, count(*) as rows,
  min(q.quarantined_at) as since, max(q.contract_version) as contract_version, max(q.discard_reason) as discard_reason
from interlock.row_quarantine q
where (%(dataset)s::text is null or q.dataset = %(dataset)s) and (%(is_all)s or q.state = 'held')
group by q.dataset, q.domain, q.partition, q.load_id, q.source_file, q.state, q.reasons
order by q.dataset, q.partition, q.load_id, rows desc
